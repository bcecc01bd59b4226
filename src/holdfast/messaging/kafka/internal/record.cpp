#include "holdfast/messaging/kafka/internal/record.hpp"

#include <librdkafka/rdkafka.h>

#include <charconv>

#include "holdfast/messaging/kafka/internal/topic_log.hpp"

namespace holdfast::messaging::kafka {
namespace {

constexpr std::size_t kMostHeaders = 256;

std::string_view text_in(const void* data, std::size_t size) {
  return data == nullptr ? std::string_view() : std::string_view(static_cast<const char*>(data), size);
}

/// Empty where there is none.
std::string_view header_of(const rd_kafka_message_s& record, std::string_view header) {
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&record, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  const void* value = nullptr;
  std::size_t size = 0;
  const std::string name(header);
  if (rd_kafka_header_get_last(headers, name.c_str(), &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  return text_in(value, size);
}

}  // namespace

std::string mark_of(const rd_kafka_message_s& record) { return std::string(header_of(record, kMarkHeader)); }

std::int64_t previous_of(const rd_kafka_message_s& record) {
  const std::string_view text = header_of(record, kPreviousHeader);
  std::int64_t position = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), position);
  return error == std::errc() && end == text.data() + text.size() ? position : 0;
}

Message read_record(const rd_kafka_message_s& record) {
  WireHeaders read;
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&record, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
    for (std::size_t i = 0; i < kMostHeaders; ++i) {
      const char* name = nullptr;
      const void* value = nullptr;
      std::size_t size = 0;
      if (rd_kafka_header_get_all(headers, i, &name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR) break;
      read.emplace_back(name, text_in(value, size));
    }
  }
  return from_wire(read, std::string(text_in(record.payload, record.len)));
}

}  // namespace holdfast::messaging::kafka
