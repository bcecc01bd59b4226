// A record as it came from Kafka.
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "holdfast/messaging/internal/wire.hpp"

struct rd_kafka_message_s;

namespace holdfast::messaging::kafka {

/// The value of the log's mark in it; empty where there is none.
std::string mark_of(const rd_kafka_message_s& record);

/// The position of the message of its bucket that went before it; 0 where its sender did not know.
std::int64_t previous_of(const rd_kafka_message_s& record);

/// Throws Error(invalid_argument, "message_malformed") for what to_wire() did not write.
Message read_record(const rd_kafka_message_s& record);

}  // namespace holdfast::messaging::kafka
