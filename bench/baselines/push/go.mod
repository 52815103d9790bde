module notifyhub.example/bench/push

go 1.26.0
