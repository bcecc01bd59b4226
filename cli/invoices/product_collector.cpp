#include "cli/invoices/product_collector.hpp"

#include <algorithm>

#include "cli/invoices/cleaning.hpp"
#include "holdfast/base/error.hpp"

namespace holdfast::cli {

namespace {

template <class Variants, class Value>
void count(Variants& variants, const Value& value) {
  for (auto& variant : variants) {
    if (variant.value == value) {
      ++variant.count;
      return;
    }
  }
  if (variants.size() < ProductCollector::kMaxVariants)
    variants.push_back({decltype(variants.front().value)(value), 1});
}

/// The first of the most frequent ones.
template <class Variants>
const auto& most_frequent(const Variants& variants) {
  return std::ranges::max_element(variants, {}, [](const auto& v) { return v.count; })->value;
}

}  // namespace

void ProductCollector::add(const MappedRecord& record) {
  const auto reject = [&](std::string_view reason, std::string detail) {
    rejects_.add(record.line, reason, std::move(detail), record.fields);
  };
  const std::string sku = normalise_sku(record[Field::sku]);
  if (is_not_a_product(sku)) return reject("not_a_product", sku + " stands for a charge, not for goods");
  if (!is_sku(sku)) return reject("bad_sku", "\"" + sku + "\" is not a sku");
  const auto price = parse_price_minor(record[Field::price]);
  if (!price) return reject("bad_price", "\"" + std::string(record[Field::price]) + "\" is not a price");
  if (*price == 0) return reject("zero_price", sku + " costs nothing on this line");
  if (*price < 0) return reject("negative_price", sku + " has a price below zero");
  const std::string name = collapse_spaces(record[Field::name]);
  if (name.empty()) return reject("missing_name", sku + " has no name on this line");
  add(sku, name, *price);
}

void ProductCollector::add(std::string_view sku, std::string_view name, std::int64_t price_minor) {
  const auto [at, is_new] = index_.try_emplace(std::string(sku), seen_.size());
  if (is_new) {
    if (seen_.size() >= kMaxProducts) {
      throw Error(ErrorCode::too_large,
                  "The file names more than " + std::to_string(kMaxProducts) + " products; split it.");
    }
    seen_.push_back({std::string(sku), {}, {}});
  }
  Seen& seen = seen_[at->second];
  if (!name.empty()) count(seen.names, name);
  count(seen.prices, price_minor);
}

std::vector<CollectedProduct> ProductCollector::finish() const {
  std::vector<CollectedProduct> products;
  products.reserve(seen_.size());
  for (const Seen& seen : seen_) {
    products.push_back({.sku = seen.sku,
                        .name = seen.names.empty() ? seen.sku : most_frequent(seen.names),
                        .price_minor = most_frequent(seen.prices),
                        .spellings = std::max<std::size_t>(1, seen.names.size()),
                        .prices = seen.prices.size()});
  }
  return products;
}

}  // namespace holdfast::cli
