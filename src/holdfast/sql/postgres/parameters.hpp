// A statement's parameters as libpq takes them: in the binary form, texts and bytes not copied. Either one
// row of values, or many rows as an array a column.
//
// Thread-safety: plain values. What they were made of must outlive them; a KeptRow owns its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "holdfast/sql/value.hpp"

namespace holdfast::sql::postgres {

class Parameters {
 public:
  explicit Parameters(std::span<const Param> row);
  explicit Parameters(std::span<const Value> row);
  /// An array for each column of `rows`, which have as many values each. Nothing where a column's values
  /// have no type in common, or none that is known.
  static std::optional<Parameters> columns_of(std::span<const std::span<const Value>> rows);

  std::size_t size() const noexcept { return types_.size(); }
  const std::vector<unsigned int>& types() const noexcept { return types_; }
  const char* const* values() const noexcept { return values_.data(); }
  const int* lengths() const noexcept { return lengths_.data(); }
  const int* formats() const noexcept { return formats_.data(); }

 private:
  explicit Parameters(std::size_t size);
  void set(std::size_t i, const Value& value);
  void bind(std::size_t i, const Value& value);
  void bind_bytes(std::size_t i, const char* data, std::size_t size);

  std::vector<unsigned int> types_;
  std::vector<std::uint64_t> numbers_;
  std::vector<std::string> arrays_;
  std::vector<const char*> values_;
  std::vector<int> lengths_;
  std::vector<int> formats_;
};

/// A row of values that outlives what it was made of.
class KeptRow {
 public:
  explicit KeptRow(std::span<const Param> row);
  std::span<const Value> values() const noexcept { return values_; }
  /// Of its texts and bytes.
  std::size_t size() const noexcept { return size_; }

 private:
  std::vector<Value> values_;  // those that are views, of bytes_
  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
};

}  // namespace holdfast::sql::postgres
