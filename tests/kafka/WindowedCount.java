// SPDX-License-Identifier: MIT
//
// A stream processor as teams have them in front of a feature store: raw clicks in, how many of them each user made in the current minute
// out. WindowedCount BROKERS IN OUT: reads {"user": "u1", "ts": <ms>} from IN, writes {"user": "u1", "clicks_1m": 3, "ts": <ms>} to OUT, one message for
// each click, its ts that of the newest click in the window. Times are the events' own. State is in memory; SIGTERM ends it.

import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.TimestampExtractor;
import org.apache.kafka.streams.state.Stores;

public class WindowedCount {
	private static final Pattern CLICK = Pattern.compile("\\{\"user\": \"([^\"]+)\", \"ts\": ([0-9]+)\\}");
	private static final Duration MINUTE = Duration.ofMinutes(1);

	/** The event's own time. */
	public static class EventTime implements TimestampExtractor {
		@Override
		public long extract(ConsumerRecord<Object, Object> record, long partitionTime) {
			return Long.parseLong(parse((String) record.value()).group(2));
		}
	}

	private static Matcher parse(String value) {
		Matcher click = CLICK.matcher(value);

		if (!click.matches())
			throw new IllegalArgumentException("no click: " + value);
		return click;
	}

	/** A count with the time of the newest click in it, as "COUNT TS". */
	private static String add(String count, String click) {
		String[] was = count.split(" ");
		long ts = Long.parseLong(parse(click).group(2));

		return (Long.parseLong(was[0]) + 1) + " " + Math.max(Long.parseLong(was[1]), ts);
	}

	public static void main(String[] args) throws InterruptedException {
		Properties properties = new Properties();
		StreamsBuilder builder = new StreamsBuilder();
		CountDownLatch end = new CountDownLatch(1);

		properties.put(StreamsConfig.APPLICATION_ID_CONFIG, "windowed-count");
		properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
		properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
		properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
		properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
		properties.put(StreamsConfig.STATE_DIR_CONFIG, args[3]);
		properties.put("auto.offset.reset", "earliest");
		builder.stream(args[1], Consumed.with(Serdes.String(), Serdes.String()).withTimestampExtractor(new EventTime()))
			.groupByKey()
			.windowedBy(TimeWindows.ofSizeAndGrace(MINUTE, MINUTE))
			.aggregate(() -> "0 0", (user, click, count) -> add(count, click),
				Materialized.<String, String>as(Stores.inMemoryWindowStore("counts", MINUTE.multipliedBy(3), MINUTE, false))
					.withKeySerde(Serdes.String()).withValueSerde(Serdes.String()))
			.toStream()
			.map((window, count) -> {
				String[] parts = count.split(" ");

				return KeyValue.pair(window.key(), String.format("{\"user\": \"%s\", \"clicks_1m\": %s, \"ts\": %s}", window.key(),
					parts[0], parts[1]));
			})
			.to(args[2], Produced.with(Serdes.String(), Serdes.String()));

		KafkaStreams streams = new KafkaStreams(builder.build(), properties);

		Runtime.getRuntime().addShutdownHook(new Thread(() -> {
			streams.close(Duration.ofSeconds(5));
			end.countDown();
		}));
		streams.setUncaughtExceptionHandler(error -> {
			error.printStackTrace();
			return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
		});
		streams.start();
		end.await();
	}
}
