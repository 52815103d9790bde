module notifyhub.example/bench/centrifugo

go 1.26.0

require github.com/centrifugal/centrifugo/v5 v5.4.9
