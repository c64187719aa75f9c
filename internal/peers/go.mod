module github.com/multidc/multidc/internal/peers

go 1.26.0

replace github.com/multidc/multidc => ../..
