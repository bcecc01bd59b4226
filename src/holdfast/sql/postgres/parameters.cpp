#include "holdfast/sql/postgres/parameters.hpp"

#include <algorithm>
#include <bit>
#include <string_view>
#include <utility>

#include "holdfast/sql/postgres/types.hpp"

namespace holdfast::sql::postgres {
namespace {

unsigned int type_of(const Value& value) noexcept {
  switch (value.type_instead()) {
    case Value::Type::null: return kUnknown;
    case Value::Type::integer: return kInt8;
    case Value::Type::real: return kFloat8;
    case Value::Type::text: return kText;
    case Value::Type::blob: return kBytea;
  }
  return kUnknown;
}

unsigned int array_of(unsigned int type) noexcept {
  switch (type) {
    case kInt8: return kInt8Array;
    case kFloat8: return kFloat8Array;
    case kText: return kTextArray;
    case kBytea: return kByteaArray;
    default: return kUnknown;
  }
}

std::uint64_t big_endian(std::uint64_t value) noexcept {
  if constexpr (std::endian::native == std::endian::little) value = __builtin_bswap64(value);
  return value;
}

std::string_view bytes_of(const Value& value) {
  if (value.type() == Value::Type::text) return value.as_text();
  const auto blob = value.as_blob();
  return {reinterpret_cast<const char*>(blob.data()), blob.size()};
}

// The binary form of an array of one dimension (array_recv() of PostgreSQL): the number of dimensions,
// whether there are nulls, the elements' type, their number, the first one's index; then each with its
// length before it, -1 for null.
class Array {
 public:
  Array(unsigned int type, std::size_t size, bool nulls) {
    for (const std::size_t word :
         {std::size_t{1}, std::size_t{nulls}, std::size_t{type}, size, std::size_t{1}})
      put_word(static_cast<std::uint32_t>(word));
  }
  void put(const Value& value) {
    switch (value.type()) {
      case Value::Type::null: return put_word(0xFFFFFFFF);
      case Value::Type::integer: return put_number(static_cast<std::uint64_t>(value.as_integer()));
      case Value::Type::real: return put_number(std::bit_cast<std::uint64_t>(value.as_real()));
      case Value::Type::text:
      case Value::Type::blob: {
        const std::string_view bytes = bytes_of(value);
        put_word(static_cast<std::uint32_t>(bytes.size()));
        bytes_ += bytes;
      }
    }
  }
  std::string take() { return std::move(bytes_); }

 private:
  void put_word(std::uint32_t word) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes_ += static_cast<char>(word >> shift & 0xFF);
  }
  void put_number(std::uint64_t number) {
    put_word(sizeof number);
    number = big_endian(number);
    bytes_.append(reinterpret_cast<const char*>(&number), sizeof number);
  }
  std::string bytes_;
};

/// Of all values of a column; kUnknown where they differ, or all are nulls of no known type.
unsigned int common_type(std::span<const std::span<const Value>> rows, std::size_t column, bool& nulls) {
  unsigned int found = kUnknown;
  for (const auto& row : rows) {
    const Value& value = row[column];
    nulls = nulls || value.is_null();
    const unsigned int type = type_of(value);
    if (type == kUnknown || type == found) continue;
    if (found != kUnknown) return kUnknown;
    found = type;
  }
  return found;
}

}  // namespace

Parameters::Parameters(std::size_t size)
    : types_(size), numbers_(size), values_(size), lengths_(size), formats_(size, 1) {}

Parameters::Parameters(std::span<const Param> row) : Parameters(row.size()) {
  for (std::size_t i = 0; i < row.size(); ++i) set(i, row[i]);
}

Parameters::Parameters(std::span<const Value> row) : Parameters(row.size()) {
  for (std::size_t i = 0; i < row.size(); ++i) set(i, row[i]);
}

void Parameters::set(std::size_t i, const Value& value) {
  types_[i] = type_of(value);
  bind(i, value);
}

std::optional<Parameters> Parameters::columns_of(std::span<const std::span<const Value>> rows) {
  Parameters made(rows.front().size());
  made.arrays_.reserve(made.size());
  for (std::size_t column = 0; column < made.size(); ++column) {
    bool nulls = false;
    const unsigned int type = common_type(rows, column, nulls);
    if (type == kUnknown) return std::nullopt;
    Array array(type, rows.size(), nulls);
    for (const auto& row : rows) array.put(row[column]);
    made.types_[column] = array_of(type);
    const std::string& bytes = made.arrays_.emplace_back(array.take());
    made.bind_bytes(column, bytes.data(), bytes.size());
  }
  return made;
}

void Parameters::bind(std::size_t i, const Value& value) {
  switch (value.type()) {
    case Value::Type::null: return;
    case Value::Type::integer:
    case Value::Type::real:
      numbers_[i] =
          big_endian(value.type() == Value::Type::integer ? static_cast<std::uint64_t>(value.as_integer())
                                                          : std::bit_cast<std::uint64_t>(value.as_real()));
      return bind_bytes(i, reinterpret_cast<const char*>(&numbers_[i]), sizeof numbers_[i]);
    case Value::Type::text:
    case Value::Type::blob: {
      const std::string_view bytes = bytes_of(value);
      return bind_bytes(i, bytes.data(), bytes.size());
    }
  }
}

void Parameters::bind_bytes(std::size_t i, const char* data, std::size_t size) {
  values_[i] = data != nullptr ? data : "";  // a null pointer is NULL
  lengths_[i] = static_cast<int>(size);
}

KeptRow::KeptRow(std::span<const Param> row) : values_(row.begin(), row.end()) {
  const auto is_view = [](const Value& value) {
    return value.type() == Value::Type::text || value.type() == Value::Type::blob;
  };
  for (const Value& value : values_) size_ += is_view(value) ? bytes_of(value).size() : 0;
  bytes_ = std::make_unique_for_overwrite<char[]>(size_);
  char* place = bytes_.get();
  for (Value& value : values_) {
    if (!is_view(value)) continue;
    const std::string_view bytes = bytes_of(value);
    const std::string_view copied(place, bytes.size());
    place = std::copy(bytes.begin(), bytes.end(), place);
    value = value.type() == Value::Type::text ? Value::text(copied)
                                              : Value::blob(std::as_bytes(std::span(copied)));
  }
}

}  // namespace holdfast::sql::postgres
