module featurefs/bench

go 1.19

require featurefs v0.0.0

replace featurefs => ../../../src/sdk/go
