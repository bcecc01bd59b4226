// What comes over the replication protocol, message by message, the first byte of each its length.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "holdfast/base/error.hpp"
#include "holdfast/sql/postgres/pgoutput.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  std::string_view left(reinterpret_cast<const char*>(data), size);
  sql::postgres::Pgoutput pgoutput;
  while (!left.empty()) {
    const std::size_t length =
        std::min<std::size_t>(static_cast<unsigned char>(left.front()), left.size() - 1);
    const std::string_view message = left.substr(1, length);
    left.remove_prefix(1 + length);
    try {
      const auto outer = sql::postgres::read_replication_message(message);
      const auto change = pgoutput.read(outer.payload.empty() ? message : outer.payload);
      std::size_t bytes = 0;
      for (const auto& value : change.values) bytes += value ? value->size() : 0;
      if (bytes > message.size()) __builtin_trap();
      if (change.kind == sql::postgres::Pgoutput::Kind::insert &&
          change.values.size() != change.relation->columns.size()) {
        __builtin_trap();
      }
    } catch (const Error&) {
    }
  }
  return 0;
}
