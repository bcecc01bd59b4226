// Reads a CSV file whose columns are mapped (column_mapping.hpp), in constant memory.
//
//   read_mapped_csv(path, mapping, {Field::sku, Field::price}, {.on_record = …, .on_fault = …});
//
// Thread-safety: one thread; blocks on the file.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "cli/invoices/column_mapping.hpp"

namespace holdfast::cli {

/// One record of the file, as it stands there; lives until the callback returns.
struct MappedRecord {
  std::uint64_t line;
  std::span<const std::string_view> fields;
  const FieldPositions& at;

  std::string_view operator[](Field field) const noexcept { return at.of(field, fields); }
};

struct MappedCsvCallbacks {
  std::function<void(const MappedRecord&)> on_record;
  /// Malformed records: their line, a stable reason, a sentence.
  std::function<void(std::uint64_t line, std::string_view reason, std::string detail)> on_fault;
  std::function<void(std::uint64_t bytes_read)> on_progress;
};

/// Throws Error: invalid_argument/"usage" where the file can't be opened, is empty or lacks a required
/// column; unavailable where reading it fails.
void read_mapped_csv(const std::string& path, const ColumnMapping& mapping,
                     std::initializer_list<Field> required, const MappedCsvCallbacks& callbacks);

/// 0 where it isn't known.
std::uint64_t file_bytes(const std::string& path) noexcept;

}  // namespace holdfast::cli
