#include "cli/invoices/column_mapping.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "holdfast/base/error.hpp"

namespace holdfast::cli {

namespace {

constexpr std::string_view kUciOnlineRetail = "uci-online-retail";

Error usage(std::string message) {
  return Error(ErrorCode::invalid_argument, std::move(message)).reason("usage");
}

std::string field_names() {
  std::string names;
  for (std::size_t i = 0; i < kFields; ++i) {
    if (i > 0) names += ", ";
    names += enum_name(static_cast<Field>(i));
  }
  return names;
}

}  // namespace

ColumnMapping::ColumnMapping() {
  for (std::size_t i = 0; i < kFields; ++i) columns_[i] = enum_name(static_cast<Field>(i));
}

ColumnMapping ColumnMapping::preset(std::string_view name) {
  if (name != kUciOnlineRetail) {
    throw usage(fmt::format("There is no preset \"{}\"; known: {}.", name, kUciOnlineRetail));
  }
  ColumnMapping mapping;
  mapping.columns_ = {"StockCode", "Description", "UnitPrice", "InvoiceNo",
                      "Quantity",  "InvoiceDate", "CustomerID"};
  return mapping;
}

std::vector<std::string> ColumnMapping::preset_names() { return {std::string(kUciOnlineRetail)}; }

void ColumnMapping::map(std::string_view assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals + 1 == assignment.size()) {
    throw usage(
        fmt::format("--map takes field=Column, such as sku=StockCode; \"{}\" is not that.", assignment));
  }
  const auto field = enum_from_name<Field>(assignment.substr(0, equals));
  if (!field) {
    throw usage(fmt::format("--map {}: there is no field \"{}\"; known: {}.", assignment,
                            assignment.substr(0, equals), field_names()));
  }
  columns_[static_cast<std::size_t>(*field)] = assignment.substr(equals + 1);
}

FieldPositions ColumnMapping::resolve(std::span<const std::string_view> header,
                                      std::initializer_list<Field> required) const {
  FieldPositions positions;
  std::string missing;
  for (std::size_t i = 0; i < kFields; ++i) {
    const auto field = static_cast<Field>(i);
    const auto found = std::ranges::find(header, std::string_view(columns_[i]));
    if (found != header.end()) {
      positions.set(field, static_cast<std::size_t>(found - header.begin()));
    } else if (std::ranges::find(required, field) != required.end()) {
      missing += fmt::format("{}\"{}\" (for {})", missing.empty() ? "" : ", ", columns_[i], enum_name(field));
    }
  }
  if (!missing.empty()) {
    throw usage(fmt::format(
        "The file's first line has no column {}; it has: {}. Name its columns with --map, or use --preset.",
        missing, fmt::join(header, ", ")));
  }
  return positions;
}

}  // namespace holdfast::cli
