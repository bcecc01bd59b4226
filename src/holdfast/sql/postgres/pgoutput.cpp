#include "holdfast/sql/postgres/pgoutput.hpp"

#include <utility>

#include "holdfast/base/error.hpp"

namespace holdfast::sql::postgres {
namespace {

[[noreturn]] void malformed(const char* what) {
  throw Error(ErrorCode::invalid_argument, "A replication message can't be read.")
      .reason("bad_replication_message")
      .cause(what);
}

/// Takes numbers in network order, and texts, off the front.
class Bytes {
 public:
  explicit Bytes(std::string_view bytes) noexcept : left_(bytes) {}

  std::string_view take(std::size_t size) {
    if (left_.size() < size) malformed("it is cut off");
    const std::string_view taken = left_.substr(0, size);
    left_.remove_prefix(size);
    return taken;
  }
  std::uint64_t number(std::size_t size) {
    std::uint64_t value = 0;
    for (const char c : take(size)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  char letter() { return take(1).front(); }
  std::string text() {
    const std::size_t end = left_.find('\0');
    if (end == std::string_view::npos) malformed("a name does not end");
    std::string taken(take(end));
    take(1);
    return taken;
  }
  std::string_view rest() noexcept { return std::exchange(left_, {}); }
  bool empty() const noexcept { return left_.empty(); }

 private:
  std::string_view left_;
};

void append_number(std::string& out, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 0xFF));
}

Pgoutput::Relation read_relation(Bytes& bytes) {
  Pgoutput::Relation relation;
  relation.schema = bytes.text();
  relation.name = bytes.text();
  bytes.letter();  // its replica identity
  const std::uint64_t columns = bytes.number(2);
  for (std::uint64_t i = 0; i < columns; ++i) {
    bytes.letter();  // whether it is part of the key
    relation.columns.push_back(bytes.text());
    bytes.number(4);  // its type
    bytes.number(4);  // and that type's modifier
  }
  return relation;
}

std::vector<std::optional<std::string_view>> read_row(Bytes& bytes) {
  std::vector<std::optional<std::string_view>> values;
  const std::uint64_t columns = bytes.number(2);
  for (std::uint64_t i = 0; i < columns; ++i) {
    switch (bytes.letter()) {
      case 'n': values.emplace_back(); break;
      case 't': {
        const std::uint64_t size = bytes.number(4);
        values.emplace_back(bytes.take(size));
        break;
      }
      default: malformed("a value of a kind that an insert does not have");
    }
  }
  return values;
}

}  // namespace

Pgoutput::Change Pgoutput::read(std::string_view payload) {
  Bytes bytes(payload);
  Change change;
  switch (bytes.letter()) {
    case 'B': change.kind = Kind::begin; break;
    case 'C':
      change.kind = Kind::commit;
      bytes.letter();  // flags: none yet
      bytes.number(8);
      change.end = Position{bytes.number(8)};
      bytes.number(8);  // when it was
      break;
    case 'R': {
      const auto id = static_cast<std::uint32_t>(bytes.number(4));
      if (relations_.size() >= kMostRelations && !relations_.contains(id)) {
        throw Error(ErrorCode::too_large, "A publication has too many tables.").reason("too_many_relations");
      }
      relations_.insert_or_assign(id, read_relation(bytes));
      break;
    }
    case 'I': {
      const auto found = relations_.find(static_cast<std::uint32_t>(bytes.number(4)));
      if (found == relations_.end()) malformed("a row of a table that was not described");
      if (bytes.letter() != 'N') malformed("an insert without a new row");
      change.kind = Kind::insert;
      change.relation = &found->second;
      change.values = read_row(bytes);
      if (change.values.size() != found->second.columns.size()) malformed("a row of another width");
      if (!bytes.empty()) malformed("more than a row");
      break;
    }
    default: break;
  }
  return change;
}

ReplicationMessage read_replication_message(std::string_view raw) {
  Bytes bytes(raw);
  ReplicationMessage message;
  switch (bytes.letter()) {
    case 'w':
      message.kind = ReplicationMessage::Kind::data;
      bytes.number(8);  // where it begins
      message.end = Position{bytes.number(8)};
      bytes.number(8);  // the server's time
      message.payload = bytes.rest();
      break;
    case 'k':
      message.kind = ReplicationMessage::Kind::keepalive;
      message.end = Position{bytes.number(8)};
      bytes.number(8);
      message.reply_requested = bytes.number(1) != 0;
      break;
    default: break;
  }
  return message;
}

std::string standby_status(Position flushed, std::int64_t microseconds_since_2000) {
  std::string out("r");
  for (int i = 0; i < 3; ++i)
    append_number(out, static_cast<std::uint64_t>(flushed));  // written, flushed, applied
  append_number(out, static_cast<std::uint64_t>(microseconds_since_2000));
  out.push_back('\0');  // no reply is wanted
  return out;
}

}  // namespace holdfast::sql::postgres
