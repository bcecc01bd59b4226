// Makes a catalog out of lines that name the same product again and again, spelled and priced in
// several ways: the most frequent name and price win, the first one where several are as frequent.
// Memory: a few hundred bytes a product.
//
//   ProductCollector products(rejects);
//   products.add(record);                       // for each line of the file
//   for (const CollectedProduct& p : products.finish()) …
//
// Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cli/invoices/mapped_csv.hpp"
#include "cli/invoices/rejects.hpp"

namespace holdfast::cli {

struct CollectedProduct {
  std::string sku;
  std::string name;
  std::int64_t price_minor = 0;
  std::size_t spellings = 1;  ///< different names seen
  std::size_t prices = 1;     ///< different prices seen
};

class ProductCollector {
 public:
  static constexpr std::size_t kMaxProducts = 1'000'000;
  static constexpr std::size_t kMaxVariants = 64;  ///< different names, or prices, counted of one product

  /// `rejects` is borrowed.
  explicit ProductCollector(Rejects& rejects) : rejects_(rejects) {}

  /// Cleans the line and counts it, or rejects it: bad_sku, not_a_product, bad_price, zero_price,
  /// negative_price, missing_name.
  void add(const MappedRecord& record);
  /// For a line that was cleaned already; an empty name only counts the price.
  void add(std::string_view sku, std::string_view name, std::int64_t price_minor);

  /// In the order of first appearance. A product no line names is called by its sku.
  std::vector<CollectedProduct> finish() const;

 private:
  template <class Value>
  struct Variant {
    Value value;
    std::uint64_t count;
  };
  struct Seen {
    std::string sku;
    std::vector<Variant<std::string>> names;
    std::vector<Variant<std::int64_t>> prices;
  };

  Rejects& rejects_;
  std::unordered_map<std::string, std::size_t> index_;
  std::vector<Seen> seen_;
};

}  // namespace holdfast::cli
