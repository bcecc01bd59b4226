#include "holdfast/messaging/rabbitmq/internal/frames.hpp"

#include <amqp.h>
#include <amqp_framing.h>

#include <array>

#include "holdfast/base/error.hpp"

namespace holdfast::messaging::rabbitmq {
namespace {

constexpr std::size_t kShortString = 255;
constexpr std::size_t kFrameOverhead = 8;    ///< type, channel, size; and the mark at its end
constexpr std::size_t kHeaderOverhead = 12;  ///< class, weight, size of the body
constexpr std::size_t kMostMethodBytes = 8192;
constexpr std::size_t kKeepTaken = 64 * 1024;

[[noreturn]] void broken(const std::string& how) {
  throw Error(ErrorCode::unavailable, "What came is no AMQP 0-9-1.").reason("amqp_broken").cause(how);
}

std::string text_of(amqp_bytes_t bytes) {
  return bytes.len == 0 ? std::string() : std::string(static_cast<const char*>(bytes.bytes), bytes.len);
}

amqp_bytes_t bytes_of(std::string_view text) {
  // librabbitmq does not write into what it encodes.
  return {.len = text.size(), .bytes = const_cast<char*>(text.data())};
}

amqp_bytes_t name_of(std::string_view text) {
  if (text.size() > kShortString) {
    throw Error(ErrorCode::invalid_argument, "A name or routing key has " + std::to_string(text.size()) +
                                                 " bytes; AMQP takes 255: " + std::string(text.substr(0, 80)))
        .reason("name_too_long");
  }
  return bytes_of(text);
}

std::int64_t integer_of(const amqp_field_value_t& value) {
  switch (value.kind) {
    case AMQP_FIELD_KIND_I8: return value.value.i8;
    case AMQP_FIELD_KIND_U8: return value.value.u8;
    case AMQP_FIELD_KIND_I16: return value.value.i16;
    case AMQP_FIELD_KIND_U16: return value.value.u16;
    case AMQP_FIELD_KIND_I32: return value.value.i32;
    case AMQP_FIELD_KIND_U32: return value.value.u32;
    case AMQP_FIELD_KIND_I64: return value.value.i64;
    case AMQP_FIELD_KIND_U64: return static_cast<std::int64_t>(value.value.u64);
    default: return -1;
  }
}

template <class Close>
void take_close(Frame& frame, const void* decoded) {
  const auto& close = *static_cast<const Close*>(decoded);
  frame.code = close.reply_code;
  frame.text = text_of(close.reply_text);
}

void take_method(Frame& frame, const amqp_method_t& method) {
  frame.method = static_cast<Method>(method.id);
  switch (frame.method) {
    case Method::connection_start:
      frame.text = text_of(static_cast<const amqp_connection_start_t*>(method.decoded)->mechanisms);
      break;
    case Method::connection_tune: {
      const auto& tune = *static_cast<const amqp_connection_tune_t*>(method.decoded);
      frame.channel_max = tune.channel_max;
      frame.frame_max = tune.frame_max;
      frame.heartbeat = tune.heartbeat;
      break;
    }
    case Method::connection_close: take_close<amqp_connection_close_t>(frame, method.decoded); break;
    case Method::channel_close: take_close<amqp_channel_close_t>(frame, method.decoded); break;
    case Method::basic_return: take_close<amqp_basic_return_t>(frame, method.decoded); break;
    case Method::connection_blocked:
      frame.text = text_of(static_cast<const amqp_connection_blocked_t*>(method.decoded)->reason);
      break;
    case Method::basic_cancel:
      frame.consumer = text_of(static_cast<const amqp_basic_cancel_t*>(method.decoded)->consumer_tag);
      break;
    case Method::basic_deliver: {
      const auto& deliver = *static_cast<const amqp_basic_deliver_t*>(method.decoded);
      frame.consumer = text_of(deliver.consumer_tag);
      frame.tag = deliver.delivery_tag;
      break;
    }
    case Method::basic_ack: {
      const auto& ack = *static_cast<const amqp_basic_ack_t*>(method.decoded);
      frame.tag = ack.delivery_tag;
      frame.multiple = ack.multiple != 0;
      break;
    }
    case Method::basic_nack: {
      const auto& nack = *static_cast<const amqp_basic_nack_t*>(method.decoded);
      frame.tag = nack.delivery_tag;
      frame.multiple = nack.multiple != 0;
      break;
    }
    default: break;
  }
}

void take_header(Frame& frame, const amqp_frame_t& from) {
  frame.body_size = from.payload.properties.body_size;
  if (from.payload.properties.class_id != AMQP_BASIC_CLASS) broken("a header of another class");
  const auto& properties = *static_cast<const amqp_basic_properties_t*>(from.payload.properties.decoded);
  if ((properties._flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0)
    frame.message_id = text_of(properties.message_id);
  if ((properties._flags & AMQP_BASIC_HEADERS_FLAG) == 0) return;
  for (int i = 0; i < properties.headers.num_entries; ++i) {
    const amqp_table_entry_t& entry = properties.headers.entries[i];
    std::string name = text_of(entry.key);
    if (name == "x-stream-offset") {
      frame.stream_offset = integer_of(entry.value);
    } else if (entry.value.kind == AMQP_FIELD_KIND_UTF8) {
      frame.headers.emplace_back(std::move(name), text_of(entry.value.value.bytes));
    }
  }
}

Frame taken_from(const amqp_frame_t& from) {
  Frame frame;
  frame.channel = from.channel;
  switch (from.frame_type) {
    case AMQP_FRAME_METHOD: take_method(frame, from.payload.method); break;
    case AMQP_FRAME_HEADER:
      frame.kind = Frame::Kind::header;
      take_header(frame, from);
      break;
    case AMQP_FRAME_BODY:
      frame.kind = Frame::Kind::body;
      frame.body = text_of(from.payload.body_fragment);
      break;
    case AMQP_FRAME_HEARTBEAT: frame.kind = Frame::Kind::heartbeat; break;
    default: frame.kind = Frame::Kind::protocol_header; break;
  }
  return frame;
}

void put(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) out += static_cast<char>((value >> shift) & 0xff);
}

void put_frame(std::string& out, std::uint8_t type, std::uint16_t channel, std::string_view payload) {
  put(out, type, 1);
  put(out, channel, 2);
  put(out, payload.size(), 4);
  out += payload;
  out += static_cast<char>(AMQP_FRAME_END);
}

template <class Decoded>
void put_method(std::string& out, std::uint16_t channel, amqp_method_number_t id, Decoded decoded) {
  std::array<char, kMostMethodBytes> buffer;
  const int size = amqp_encode_method(id, &decoded, {.len = buffer.size(), .bytes = buffer.data()});
  if (size < 0) throw Error(ErrorCode::invalid_argument, "AMQP has no room for this.").reason("amqp_encode");
  put(out, AMQP_FRAME_METHOD, 1);
  put(out, channel, 2);
  put(out, static_cast<std::uint64_t>(size) + 4, 4);
  put(out, id, 4);
  out.append(buffer.data(), static_cast<std::size_t>(size));
  out += static_cast<char>(AMQP_FRAME_END);
}

/// As librabbitmq wants it; borrows from the Table.
class Entries {
 public:
  explicit Entries(const Table& table) {
    for (const auto& [name, value] : table) {
      amqp_table_entry_t entry{};
      entry.key = name_of(name);
      if (const auto* text = std::get_if<std::string>(&value)) {
        entry.value.kind = AMQP_FIELD_KIND_UTF8;
        entry.value.value.bytes = bytes_of(*text);
      } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
        entry.value.kind = AMQP_FIELD_KIND_I64;
        entry.value.value.i64 = *number;
      } else {
        entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
        entry.value.value.boolean = std::get<bool>(value) ? 1 : 0;
      }
      entries_.push_back(entry);
    }
  }
  explicit Entries(const WireHeaders& headers) {
    for (const auto& [name, text] : headers) {
      amqp_table_entry_t entry{};
      entry.key = name_of(name);
      entry.value.kind = AMQP_FIELD_KIND_UTF8;
      entry.value.value.bytes = bytes_of(text);
      entries_.push_back(entry);
    }
  }
  void add(const char* name, const Entries& nested) {
    amqp_table_entry_t entry{};
    entry.key = name_of(name);
    entry.value.kind = AMQP_FIELD_KIND_TABLE;
    entry.value.value.table = nested.table();
    entries_.push_back(entry);
  }
  amqp_table_t table() const {
    return {.num_entries = static_cast<int>(entries_.size()),
            .entries = const_cast<amqp_table_entry_t*>(entries_.data())};
  }

 private:
  std::vector<amqp_table_entry_t> entries_;
};

}  // namespace

// ---- reading

void FrameReader::Freed::operator()(amqp_connection_state_t_* state) const noexcept {
  amqp_destroy_connection(state);
}

FrameReader::FrameReader() : state_(amqp_new_connection()) {
  if (!state_) throw std::bad_alloc();
}

std::optional<Frame> FrameReader::next() {
  while (taken_ < input_.size()) {
    amqp_frame_t raw{};
    const int taken =
        amqp_handle_input(state_.get(), bytes_of(std::string_view(input_).substr(taken_)), &raw);
    if (taken < 0) broken(amqp_error_string2(taken));
    if (taken == 0 && raw.frame_type == 0) broken("nothing can be made of it");
    taken_ += static_cast<std::size_t>(taken);
    if (raw.frame_type == 0) continue;
    Frame frame = taken_from(raw);
    // Frames of up to 64 KiB until here. It may be told of larger ones between two of them only.
    if (!std::exchange(begun_, true)) amqp_tune_connection(state_.get(), 0, kMostBytes, 0);
    amqp_maybe_release_buffers_on_channel(state_.get(), raw.channel);
    if (taken_ > kKeepTaken) {
      input_.erase(0, taken_);
      taken_ = 0;
    }
    return frame;
  }
  input_.clear();
  taken_ = 0;
  return std::nullopt;
}

// ---- writing

void write_protocol_header(std::string& out) { out.append("AMQP\0\0\x09\x01", 8); }
void write_heartbeat(std::string& out) { put_frame(out, AMQP_FRAME_HEARTBEAT, 0, {}); }

void write_start_ok(std::string& out, const std::string& user, const std::string& password,
                    const std::string& connection_name) {
  const Table can{{"publisher_confirms", true},
                  {"consumer_cancel_notify", true},
                  {"connection.blocked", true},
                  {"authentication_failure_close", true}};
  const Table about{{"product", std::string("Holdfast")}, {"connection_name", connection_name}};
  const Entries capabilities(can);
  Entries properties(about);
  properties.add("capabilities", capabilities);
  std::string login;
  login += '\0';
  login += user;
  login += '\0';
  login += password;
  put_method(out, 0, AMQP_CONNECTION_START_OK_METHOD,
             amqp_connection_start_ok_t{.client_properties = properties.table(),
                                        .mechanism = bytes_of("PLAIN"),
                                        .response = bytes_of(login),
                                        .locale = bytes_of("en_US")});
}

void write_tune_ok(std::string& out, std::uint16_t channel_max, std::uint32_t frame_max,
                   std::uint16_t heartbeat) {
  put_method(
      out, 0, AMQP_CONNECTION_TUNE_OK_METHOD,
      amqp_connection_tune_ok_t{.channel_max = channel_max, .frame_max = frame_max, .heartbeat = heartbeat});
}

void write_open(std::string& out, const std::string& vhost) {
  put_method(out, 0, AMQP_CONNECTION_OPEN_METHOD,
             amqp_connection_open_t{.virtual_host = name_of(vhost), .capabilities = {}, .insist = 0});
}

void write_close(std::string& out) {
  put_method(out, 0, AMQP_CONNECTION_CLOSE_METHOD,
             amqp_connection_close_t{
                 .reply_code = 200, .reply_text = bytes_of("goodbye"), .class_id = 0, .method_id = 0});
}

void write_close_ok(std::string& out) {
  put_method(out, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, amqp_connection_close_ok_t{});
}

void write_channel_open(std::string& out, std::uint16_t channel) {
  put_method(out, channel, AMQP_CHANNEL_OPEN_METHOD, amqp_channel_open_t{});
}

void write_channel_close(std::string& out, std::uint16_t channel) {
  put_method(out, channel, AMQP_CHANNEL_CLOSE_METHOD,
             amqp_channel_close_t{.reply_code = 200, .reply_text = {}, .class_id = 0, .method_id = 0});
}

void write_channel_close_ok(std::string& out, std::uint16_t channel) {
  put_method(out, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, amqp_channel_close_ok_t{});
}

void write_confirm_select(std::string& out, std::uint16_t channel) {
  put_method(out, channel, AMQP_CONFIRM_SELECT_METHOD, amqp_confirm_select_t{.nowait = 0});
}

void write_exchange_declare(std::string& out, std::uint16_t channel, const std::string& name,
                            const std::string& type) {
  amqp_exchange_declare_t declare{};
  declare.exchange = name_of(name);
  declare.type = name_of(type);
  declare.durable = 1;
  put_method(out, channel, AMQP_EXCHANGE_DECLARE_METHOD, declare);
}

void write_queue_declare(std::string& out, std::uint16_t channel, const std::string& name,
                         const Table& arguments) {
  const Entries entries(arguments);
  amqp_queue_declare_t declare{};
  declare.queue = name_of(name);
  declare.durable = 1;
  declare.arguments = entries.table();
  put_method(out, channel, AMQP_QUEUE_DECLARE_METHOD, declare);
}

void write_queue_bind(std::string& out, std::uint16_t channel, const std::string& queue,
                      const std::string& exchange, const std::string& key) {
  amqp_queue_bind_t bind{};
  bind.queue = name_of(queue);
  bind.exchange = name_of(exchange);
  bind.routing_key = name_of(key);
  put_method(out, channel, AMQP_QUEUE_BIND_METHOD, bind);
}

void write_queue_delete(std::string& out, std::uint16_t channel, const std::string& name) {
  amqp_queue_delete_t remove{};
  remove.queue = name_of(name);
  put_method(out, channel, AMQP_QUEUE_DELETE_METHOD, remove);
}

void write_qos(std::string& out, std::uint16_t channel, std::uint16_t prefetch) {
  put_method(out, channel, AMQP_BASIC_QOS_METHOD,
             amqp_basic_qos_t{.prefetch_size = 0, .prefetch_count = prefetch, .global = 0});
}

void write_consume(std::string& out, std::uint16_t channel, const std::string& queue,
                   const std::string& consumer, const Table& arguments) {
  const Entries entries(arguments);
  amqp_basic_consume_t consume{};
  consume.queue = name_of(queue);
  consume.consumer_tag = name_of(consumer);
  consume.arguments = entries.table();
  put_method(out, channel, AMQP_BASIC_CONSUME_METHOD, consume);
}

void write_cancel(std::string& out, std::uint16_t channel, const std::string& consumer) {
  put_method(out, channel, AMQP_BASIC_CANCEL_METHOD,
             amqp_basic_cancel_t{.consumer_tag = name_of(consumer), .nowait = 1});
}

void write_ack(std::string& out, std::uint16_t channel, std::uint64_t tag) {
  std::string payload;
  put(payload, AMQP_BASIC_ACK_METHOD, 4);
  put(payload, tag, 8);
  put(payload, 0, 1);
  put_frame(out, AMQP_FRAME_METHOD, channel, payload);
}

void write_publish(std::string& out, std::uint16_t channel, const std::string& exchange,
                   const std::string& key, const Content& content, std::uint32_t frame_max) {
  const Entries headers(content.headers);
  amqp_basic_properties_t properties{};
  properties._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_HEADERS_FLAG |
                      AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG;
  properties.content_type = bytes_of("application/json");
  properties.delivery_mode = 2;  // persistent
  properties.headers = headers.table();
  properties.message_id = name_of(content.message_id);
  properties.timestamp = content.seconds;
  properties.type = name_of(content.type);
  const std::size_t room = frame_max - kFrameOverhead - kHeaderOverhead;
  const auto buffer = std::make_unique_for_overwrite<char[]>(room);
  const int size =
      amqp_encode_properties(AMQP_BASIC_CLASS, &properties, {.len = room, .bytes = buffer.get()});
  if (size < 0) {
    throw Error(ErrorCode::too_large, "The message's headers don't fit into a frame of " +
                                          std::to_string(frame_max) + " bytes (RabbitMQ's frame_max).")
        .reason("message_too_large");
  }
  amqp_basic_publish_t publish{};
  publish.exchange = name_of(exchange);
  publish.routing_key = name_of(key);
  publish.mandatory = 1;
  put_method(out, channel, AMQP_BASIC_PUBLISH_METHOD, publish);
  std::string header;
  put(header, AMQP_BASIC_CLASS, 2);
  put(header, 0, 2);  // weight
  put(header, content.body.size(), 8);
  header.append(buffer.get(), static_cast<std::size_t>(size));
  put_frame(out, AMQP_FRAME_HEADER, channel, header);
  const std::size_t most = frame_max - kFrameOverhead;
  for (std::size_t at = 0; at < content.body.size(); at += most)
    put_frame(out, AMQP_FRAME_BODY, channel, content.body.substr(at, most));
}

}  // namespace holdfast::messaging::rabbitmq
