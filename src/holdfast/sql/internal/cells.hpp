// Rows of any table: for what reads tables that it has no types for.
//
//   queries.for_each<Cells>("select * from " + table, [&](Cells&& row) { … row.cells[0].view() … });
//
// Thread-safety: values.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "holdfast/base/digest.hpp"
#include "holdfast/sql/row.hpp"
#include "holdfast/sql/value.hpp"

namespace holdfast::sql {

/// A Value that owns what it holds.
struct Cell {
  Value::Type type = Value::Type::null;
  std::int64_t integer = 0;
  double real = 0;
  std::string bytes;  ///< text or blob

  static Cell of(const Value& value) {
    Cell made{.type = value.type(), .bytes = {}};
    switch (value.type()) {
      case Value::Type::null: break;
      case Value::Type::integer: made.integer = value.as_integer(); break;
      case Value::Type::real: made.real = value.as_real(); break;
      case Value::Type::text: made.bytes = value.as_text(); break;
      case Value::Type::blob: {
        const auto blob = value.as_blob();
        made.bytes.assign(reinterpret_cast<const char*>(blob.data()), blob.size());
        break;
      }
    }
    return made;
  }

  /// `instead`: the type of its column, where there is nothing.
  Value view(Value::Type instead) const {
    switch (type) {
      case Value::Type::null: return Value::null_of(instead);
      case Value::Type::integer: return Value::integer(integer);
      case Value::Type::real: return Value::real(real);
      case Value::Type::text: return Value::text(bytes);
      case Value::Type::blob: return Value::blob(std::as_bytes(std::span(bytes)));
    }
    return Value();
  }
  std::size_t size() const noexcept { return sizeof *this + bytes.size(); }
};

struct Cells {
  std::vector<Cell> cells;

  std::size_t size() const noexcept {
    std::size_t sum = 0;
    for (const Cell& cell : cells) sum += cell.size();
    return sum;
  }
  /// The same for the same row on every engine.
  void add_to(Sha256& digest) const {
    for (const Cell& cell : cells) {
      const bool number = cell.type == Value::Type::integer || cell.type == Value::Type::real;
      const std::uint64_t head = cell.type == Value::Type::real ? std::bit_cast<std::uint64_t>(cell.real)
                                 : number                       ? static_cast<std::uint64_t>(cell.integer)
                                                                : cell.bytes.size();
      const char type = static_cast<char>(cell.type);
      digest.update({&type, 1}).update({reinterpret_cast<const char*>(&head), sizeof head});
      if (!number) digest.update(cell.bytes);
    }
  }
};

template <>
class RowReader<Cells> {
 public:
  void columns(const RowView& row) { count_ = row.columns(); }
  Cells read(const RowView& row) const {
    Cells made;
    made.cells.reserve(count_);
    for (std::size_t i = 0; i < count_; ++i) made.cells.push_back(Cell::of(row.value(i)));
    return made;
  }

 private:
  std::size_t count_ = 0;
};

}  // namespace holdfast::sql
