from bench import counters

OVERVIEW = """#{[{protocol, amqp091}] => #{consumers => 4, messages_received_total => 120, publishers => 1},
 [{protocol, amqp091}, {queue_type, rabbit_classic_queue}] => #{messages_acknowledged_total => 3},
 [{protocol, amqp091}, {queue_type, rabbit_quorum_queue}] => #{messages_acknowledged_total => 110,
 messages_delivered_total => 112}}"""


def test_what_rabbitmq_says_is_read_for_all_kinds_of_queues():
    assert counters.of_rabbitmq(OVERVIEW) == {"rabbitmq.published": 120, "rabbitmq.acknowledged": 113}


def test_a_broker_that_cannot_be_asked_counts_nothing():
    assert counters.of_rabbitmq("") == {}


def test_only_what_was_counted_between_two_readings_is_left():
    assert counters.between({"a": 1, "b": 2}, {"a": 4, "b": 2, "c": 5}) == {"a": 3, "c": 5}
