// What a replay will send, worked out before anything is sent: a pure function of the file. Lines are
// grouped into orders by invoice number (they are scattered in the file), the same sku twice in an
// invoice is added up, cancellations are matched to orders, everything else is rejected with a reason.
//
// Matching, strictly: a "C…" invoice cancels the latest order of the same customer, not after it, that
// holds each of its skus in at least its quantity and is not cancelled by an earlier one. Only when it
// names all of that order is it sent; less is "partial_cancellation" (the API has no partial returns).
//
// Memory: 8 bytes a line, about 100 an invoice. Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cli/invoices/mapped_csv.hpp"
#include "cli/invoices/product_collector.hpp"
#include "cli/invoices/rejects.hpp"

namespace holdfast::cli {

struct PlannedLine {
  std::uint32_t sku;  ///< index into ReplayPlan::skus
  std::int32_t quantity;
  bool operator==(const PlannedLine&) const = default;
};

struct PlannedOrder {
  std::string invoice;  ///< also the idempotency key
  std::string customer;
  std::int64_t date = 0;           ///< sorts as time does
  std::vector<PlannedLine> lines;  ///< by sku text, each once
};

struct PlannedCancellation {
  std::string invoice;
  std::size_t order;  ///< index into ReplayPlan::orders
};

struct ReplayPlan {
  std::vector<std::string> skus;           ///< all that orders and cancellations name
  std::vector<std::int64_t> needed;        ///< pieces that the file's orders take of each of them
  std::vector<CollectedProduct> products;  ///< those that are ordered
  std::vector<PlannedOrder> orders;        ///< by date, then invoice
  std::vector<PlannedCancellation> cancellations;
  std::uint64_t records = 0;

  /// Keeps the first `limit` orders and the cancellations of those.
  void keep_first(std::size_t limit);
};

class PlanBuilder {
 public:
  static constexpr std::size_t kMaxInvoices = 5'000'000;
  static constexpr std::size_t kMaxLines = 50'000'000;
  static constexpr std::int64_t kMaxQuantity = 1'000'000;  ///< of one sku in one invoice

  /// `rejects` is borrowed.
  explicit PlanBuilder(Rejects& rejects) : rejects_(rejects), products_(rejects) {}

  void add(const MappedRecord& record);
  ReplayPlan finish();

 private:
  struct Invoice {
    std::string number;
    std::string customer;
    std::int64_t date;
    std::uint64_t first_line;
    bool cancellation;
    std::vector<PlannedLine> lines;
  };

  Invoice& invoice_of(const MappedRecord& record, std::string number, std::string customer,
                      std::int64_t date);
  std::uint32_t index_of(const std::string& sku);
  void merge_lines(Invoice& invoice);
  void match_cancellations(std::vector<Invoice>& cancellations, ReplayPlan& plan);

  Rejects& rejects_;
  ProductCollector products_;
  std::unordered_map<std::string, std::uint32_t> sku_index_;
  std::vector<std::string> sku_texts_;
  std::unordered_map<std::string, std::size_t> index_;
  std::vector<Invoice> invoices_;
  std::size_t lines_ = 0;
  std::uint64_t records_ = 0;
};

}  // namespace holdfast::cli
