#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# One file operation, step by step, with its errno: the shell's own tools show only words. Prints "ok" or what was asked for and ends
# with 0, or prints "step: ERRNO" and ends with 1.
#
#	put [-a|-n|-x] FILE DATA...	open (O_TRUNC; -a O_APPEND, -n neither, -x O_EXCL), a write for each DATA, close
#	pwrite FILE OFFSET DATA		without truncation
#	DATA is text, hex:00ff, or rep:TEXT:COUNT; names may hold %xNN for a byte
import ctypes, errno, mmap, os, socket, stat, struct, sys, time

libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    pass


def name_of(code):
    return "ENOTSUP" if code == errno.EOPNOTSUPP else errno.errorcode.get(code, str(code))


class step:
    """A step of an operation: an OSError in it is that step's."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, kind, exc, trace):
        if isinstance(exc, OSError):
            raise Failed("%s: %s" % (self.name, name_of(exc.errno)))
        return False


def data(text):
    raw = os.fsencode(text)
    if raw.startswith(b"hex:"):
        return bytes.fromhex(text[4:])
    if raw.startswith(b"rep:"):
        what, count = raw[4:].rsplit(b":", 1)
        return what * int(count)
    return raw


def path(text):
    raw = os.fsencode(text)
    parts = raw.split(b"%x")
    return parts[0] + b"".join(bytes.fromhex(p[:2].decode()) + p[2:] for p in parts[1:])


def put(args):
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    if args[0] in ("-a", "-n", "-x"):
        flags = os.O_WRONLY | os.O_CREAT | {"-a": os.O_APPEND, "-n": 0, "-x": os.O_EXCL}[args.pop(0)]
    with step("open"):
        fd = os.open(path(args[0]), flags, 0o644)
    try:
        for piece in args[1:]:
            piece = data(piece)
            with step("write"):
                while piece:
                    piece = piece[os.write(fd, piece[:1 << 17]):]
    except Failed:
        try:
            os.close(fd)
        except OSError:
            pass
        raise
    with step("close"):
        os.close(fd)


def pwrite(args):
    with step("open"):
        fd = os.open(path(args[0]), os.O_WRONLY)
    with step("write"):
        os.pwrite(fd, data(args[2]), int(args[1]))
    with step("close"):
        os.close(fd)


def simple(name, call):
    def run(args):
        with step(name):
            return call(*args)
    return run


def rename2(old, new, flags):
    if libc.renameat2(-100, path(old), -100, path(new), flags):
        raise OSError(ctypes.get_errno(), "renameat2")


def mksock(name):
    try:
        socket.socket(socket.AF_UNIX).bind(path(name))
    except OSError as exc:
        raise OSError(exc.errno or errno.EIO, "bind")


def mapped(args):
    """map private|shared FILE: the content, or the errno."""
    with step("open"):
        fd = os.open(path(args[1]), os.O_RDONLY)
    with step("mmap"):
        kind = mmap.MAP_PRIVATE if args[0] == "private" else mmap.MAP_SHARED
        area = mmap.mmap(fd, os.fstat(fd).st_size, kind, mmap.PROT_READ)
    return area[:]


def times(args):
    with step("stat"):
        st = os.stat(path(args[0]))
    return "%d %d" % (st.st_mtime_ns, st.st_ctime_ns)


def utime(args):
    with step("utimens"):
        os.utime(path(args[0]), ns=(int(args[1]), int(args[1])))


def futime(args):
    """futime FILE TEXT NS: as cp -p does, the time set between write and close."""
    with step("open"):
        fd = os.open(path(args[0]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with step("write"):
        os.write(fd, data(args[1]))
    with step("utimens"):
        os.utime(fd, ns=(int(args[2]), int(args[2])))
    with step("close"):
        os.close(fd)


def getxattr(args):
    """getxattr FILE NAME SIZE: the return value of the call with a buffer of SIZE, and the content of SIZE > 0."""
    size = int(args[2])
    buf = ctypes.create_string_buffer(max(size, 1))
    n = libc.getxattr(path(args[0]), os.fsencode(args[1]), buf, size)
    if n < 0:
        raise Failed("getxattr: " + name_of(ctypes.get_errno()))
    return ("%d %s" % (n, buf.raw[:n].decode())) if size else str(n)


def listxattr(args):
    size = int(args[1])
    buf = ctypes.create_string_buffer(max(size, 1))
    n = libc.listxattr(path(args[0]), buf, size)
    if n < 0:
        raise Failed("listxattr: " + name_of(ctypes.get_errno()))
    return " ".join(sorted(buf.raw[:n].decode().rstrip("\0").split("\0"))) if size else str(n)


def setxattr(args):
    flags = {"create": os.XATTR_CREATE, "replace": os.XATTR_REPLACE, "any": 0}[args[3]]
    with step("setxattr"):
        os.setxattr(path(args[0]), args[1], data(args[2]), flags)


def orphan(args):
    """orphan FILE TEXT: the opener ends at once; its child writes a moment later and is the last one to close."""
    fd = os.open(path(args[0]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    if os.fork():
        os._exit(0)
    os.close(1)
    time.sleep(0.3)
    os.write(fd, data(args[1]))
    os._exit(0)


def held(args):
    """held FILE TEXT: opens, lets TEXT be written by another open, reads on from the first; prints size and bytes of it, then those of a new one."""
    with step("open"):
        fd = os.open(path(args[0]), os.O_RDONLY)
    first = os.pread(fd, 2, 0)
    put([args[0], args[1]])
    size = os.fstat(fd).st_size
    rest = os.pread(fd, 1 << 20, 2)
    with open(path(args[0]), "rb") as now:
        fresh = now.read()
    return "%d %s %s" % (size, (first + rest).decode().strip(), fresh.decode().strip())


def holes(args):
    """sendfile FILE: its bytes by copy_file_range or sendfile into a pipe."""
    with step("open"):
        fd = os.open(path(args[0]), os.O_RDONLY)
    r, w = os.pipe()
    with step("sendfile"):
        n = os.sendfile(w, fd, 0, 4096)
    return os.read(r, n)


class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("reclen", ctypes.c_uint16), ("type", ctypes.c_uint8),
                ("name", ctypes.c_char * 256)]


libc.opendir.restype = ctypes.c_void_p
libc.readdir.restype = ctypes.POINTER(Dirent)
libc.readdir.argtypes = libc.telldir.argtypes = libc.rewinddir.argtypes = libc.closedir.argtypes = [ctypes.c_void_p]
libc.telldir.restype = ctypes.c_long
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]


def next_name(handle):
    entry = libc.readdir(handle)
    return entry.contents.name.decode("utf-8", "surrogateescape") if entry else None


def seekdir(args):
    """seekdir DIR: reads it all and notes the place of each name, then goes back to many places, then rewinds; "ok COUNT"."""
    handle = libc.opendir(path(args[0]))
    if not handle:
        raise Failed("opendir: " + name_of(ctypes.get_errno()))
    names, places = [], []
    while True:
        place = libc.telldir(handle)
        name = next_name(handle)
        if name is None:
            break
        names.append(name)
        places.append(place)
    if len(set(names)) != len(names):
        raise Failed("a name twice")
    spots = [int(len(names) * i / 23) for i in range(22, -1, -1)] + [0, len(names) - 1]
    for i in spots:
        libc.seekdir(handle, places[i])
        for want in names[i:i + 40]:
            got = next_name(handle)
            if got != want:
                raise Failed("behind seekdir to %d: %r, should be %r" % (i, got, want))
    if len(args) > 1:
        put([args[1], "1\n"])
        names.append(None)
    libc.rewinddir(handle)
    again = 0
    while next_name(handle) is not None:
        again += 1
    if again != len(names):
        raise Failed("%d names behind rewinddir, should be %d" % (again, len(names)))
    libc.closedir(handle)
    return "ok %d" % (again - 2)


def sweep(args):
    """sweep DIR: removes each entry while one handle lists them all; "ok COUNT"."""
    handle = libc.opendir(path(args[0]))
    count = 0
    while True:
        name = next_name(handle)
        if name is None:
            break
        if name in (".", ".."):
            continue
        target = os.path.join(path(args[0]), name.encode("utf-8", "surrogateescape"))
        with step("remove " + name):
            for entry in os.listdir(target):
                os.unlink(os.path.join(target, entry))
            os.rmdir(target)
        count += 1
    libc.closedir(handle)
    return "ok %d" % count


commands = {
    "put": put, "pwrite": pwrite, "map": mapped, "times": times, "utime": utime, "futime": futime, "getxattr": getxattr,
    "listxattr": listxattr, "setxattr": setxattr, "orphan": orphan, "held": held, "sendfile": holes, "seekdir": seekdir, "sweep": sweep,
    "removexattr": simple("removexattr", lambda p, n: os.removexattr(path(p), n)),
    "stat": simple("stat", lambda p: "%o %d" % (os.stat(path(p)).st_mode, os.stat(path(p)).st_size)),
    "read": simple("open", lambda p: open(path(p), "rb").read()),
    "mkdir": simple("mkdir", lambda p: os.mkdir(path(p))),
    "rmdir": simple("rmdir", lambda p: os.rmdir(path(p))),
    "unlink": simple("unlink", lambda p: os.unlink(path(p))),
    "link": simple("link", lambda p, q: os.link(path(p), path(q))),
    "symlink": simple("symlink", lambda p, q: os.symlink(path(p), path(q))),
    "fifo": simple("mkfifo", lambda p: os.mkfifo(path(p))),
    "device": simple("mknod", lambda p: os.mknod(path(p), stat.S_IFCHR | 0o600, os.makedev(1, 3))),
    "socket": simple("bind", mksock),
    "rename": simple("rename", lambda p, q: os.rename(path(p), path(q))),
    "noreplace": simple("rename", lambda p, q: rename2(p, q, 1)),
    "exchange": simple("rename", lambda p, q: rename2(p, q, 2)),
    "truncate": simple("truncate", lambda p, n: os.truncate(path(p), int(n))),
}


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in commands:
        sys.exit("usage: fsop.py COMMAND PATH ...; commands: " + " ".join(sorted(commands)))
    try:
        result = commands[sys.argv[1]](sys.argv[2:])
    except Failed as failed:
        print(failed)
        sys.exit(1)
    if isinstance(result, bytes):
        sys.stdout.buffer.write(result)
    else:
        print("ok" if result is None else result)


main()
