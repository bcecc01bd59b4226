// Which column of somebody's CSV holds what: by default columns named as the fields are, by a preset for
// a well-known layout, or column by column with `--map sku=StockCode`.
//
//   ColumnMapping mapping = ColumnMapping::preset("uci-online-retail");
//   mapping.map("name=ProductTitle");
//   const FieldPositions at = mapping.resolve(header, {Field::sku, Field::name, Field::price});
//
// Thread-safety: values.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/describe.hpp"

namespace holdfast::cli {

/// What a line of an invoice or of a price list says.
enum class Field : std::uint8_t { sku, name, price, invoice, quantity, date, customer };
HOLDFAST_DESCRIBE_ENUM(Field, sku, name, price, invoice, quantity, date, customer)
inline constexpr std::size_t kFields = 7;

/// The index of each field's column.
class FieldPositions {
 public:
  void set(Field field, std::size_t column) { columns_[static_cast<std::size_t>(field)] = column; }
  /// The field's text in this record; empty where it isn't mapped or the record is too short.
  std::string_view of(Field field, std::span<const std::string_view> record) const noexcept {
    const auto column = columns_[static_cast<std::size_t>(field)];
    return column && *column < record.size() ? record[*column] : std::string_view();
  }

 private:
  std::array<std::optional<std::size_t>, kFields> columns_;
};

class ColumnMapping {
 public:
  /// Columns named "sku", "name", … themselves.
  ColumnMapping();

  /// Throws Error(invalid_argument)/"usage" naming the known presets where `name` is none of them.
  static ColumnMapping preset(std::string_view name);
  static std::vector<std::string> preset_names();

  /// "field=Column". Throws Error(invalid_argument)/"usage" for an unknown field or a missing '='.
  void map(std::string_view assignment);

  const std::string& column_of(Field field) const noexcept {
    return columns_[static_cast<std::size_t>(field)];
  }

  /// Finds the columns in the file's first record. Throws Error(invalid_argument)/"usage" listing all
  /// required ones that are missing, and what the header has.
  FieldPositions resolve(std::span<const std::string_view> header,
                         std::initializer_list<Field> required) const;

 private:
  std::array<std::string, kFields> columns_;
};

}  // namespace holdfast::cli
