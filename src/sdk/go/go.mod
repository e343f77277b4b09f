module featurefs

go 1.19
