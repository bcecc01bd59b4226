#include "cli/replay/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <tuple>

#include "cli/invoices/cleaning.hpp"
#include "holdfast/base/error.hpp"

namespace holdfast::cli {

namespace {

constexpr std::size_t kMaxInvoiceBytes = 64;

bool is_invoice_number(std::string_view text) {
  return !text.empty() && text.size() <= kMaxInvoiceBytes &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~' && c != '"' && c != '\\'; });
}

/// Whether `order` has each line of `wanted` in at least its quantity. Both are sorted alike.
bool covers(const std::vector<PlannedLine>& order, const std::vector<PlannedLine>& wanted) {
  return std::ranges::all_of(wanted, [&](const PlannedLine& line) {
    const auto found = std::ranges::find(order, line.sku, &PlannedLine::sku);
    return found != order.end() && found->quantity >= line.quantity;
  });
}

Error too_large(std::string_view what, std::size_t most) {
  return Error(ErrorCode::too_large, fmt::format("The file has more than {} {}; split it.", most, what));
}

}  // namespace

void ReplayPlan::keep_first(std::size_t limit) {
  if (limit >= orders.size()) return;
  orders.resize(limit);
  std::erase_if(cancellations, [&](const PlannedCancellation& c) { return c.order >= limit; });
}

void PlanBuilder::add(const MappedRecord& record) {
  ++records_;
  const auto reject = [&](std::string_view reason, std::string detail) {
    rejects_.add(record.line, reason, std::move(detail), record.fields);
  };
  const std::string sku = normalise_sku(record[Field::sku]);
  if (is_not_a_product(sku)) return reject("not_a_product", sku + " stands for a charge, not for goods");
  if (!is_sku(sku)) return reject("bad_sku", fmt::format("\"{}\" is not a sku", sku));
  std::string number = normalise_sku(record[Field::invoice]);
  if (!is_invoice_number(number))
    return reject("bad_invoice", fmt::format("\"{}\" is not an invoice number", number));
  const bool cancellation = number.front() == 'C';
  const auto quantity = parse_quantity(record[Field::quantity]);
  if (!quantity)
    return reject("bad_quantity", fmt::format("\"{}\" is not a quantity", record[Field::quantity]));
  if (*quantity == 0) return reject("zero_quantity", "nothing of " + sku);
  if (*quantity < 0 && !cancellation)
    return reject("write_off", fmt::format("{} of {}: stock written off", *quantity, sku));
  if (*quantity > 0 && cancellation)
    return reject("sold_in_cancellation", sku + " is added by a cancellation");
  if (std::abs(*quantity) > kMaxQuantity)
    return reject("quantity_too_large", fmt::format("{} of {}", *quantity, sku));
  const auto price = parse_price_minor(record[Field::price]);
  if (!price) return reject("bad_price", fmt::format("\"{}\" is not a price", record[Field::price]));
  if (*price == 0) return reject("zero_price", sku + " costs nothing on this line");
  if (*price < 0) return reject("negative_price", sku + " has a price below zero");
  const auto date = parse_sortable_date(record[Field::date]);
  if (!date) return reject("bad_date", fmt::format("\"{}\" is not a date", record[Field::date]));
  const std::string customer = normalise_customer(record[Field::customer]);

  Invoice& invoice = invoice_of(record, std::move(number), customer, *date);
  if (invoice.customer != customer) {
    return reject("customer_differs",
                  fmt::format("invoice {} is customer {}'s", invoice.number, invoice.customer));
  }
  if (++lines_ > kMaxLines) throw too_large("lines", kMaxLines);
  invoice.date = std::min(invoice.date, *date);
  invoice.lines.push_back({index_of(sku), static_cast<std::int32_t>(std::abs(*quantity))});
  if (!cancellation) products_.add(sku, collapse_spaces(record[Field::name]), *price);
}

PlanBuilder::Invoice& PlanBuilder::invoice_of(const MappedRecord& record, std::string number,
                                              std::string customer, std::int64_t date) {
  const auto [at, is_new] = index_.try_emplace(number, invoices_.size());
  if (is_new) {
    if (invoices_.size() >= kMaxInvoices) throw too_large("invoices", kMaxInvoices);
    const bool cancellation = number.front() == 'C';
    invoices_.push_back({std::move(number), std::move(customer), date, record.line, cancellation, {}});
  }
  return invoices_[at->second];
}

std::uint32_t PlanBuilder::index_of(const std::string& sku) {
  const auto [at, is_new] = sku_index_.try_emplace(sku, static_cast<std::uint32_t>(sku_texts_.size()));
  if (is_new) sku_texts_.push_back(sku);
  return at->second;
}

void PlanBuilder::merge_lines(Invoice& invoice) {
  std::ranges::sort(invoice.lines, [&](const PlannedLine& a, const PlannedLine& b) {
    return sku_texts_[a.sku] < sku_texts_[b.sku];
  });
  std::vector<PlannedLine> merged;
  for (const PlannedLine& line : invoice.lines) {
    if (merged.empty() || merged.back().sku != line.sku) {
      merged.push_back(line);
    } else if (merged.back().quantity + line.quantity <= kMaxQuantity) {
      merged.back().quantity += line.quantity;
    } else {
      rejects_.add(invoice.first_line, "quantity_too_large",
                   fmt::format("more than {} of {} in invoice {}", kMaxQuantity, sku_texts_[line.sku],
                               invoice.number));
    }
  }
  invoice.lines = std::move(merged);
}

ReplayPlan PlanBuilder::finish() {
  ReplayPlan plan;
  plan.records = records_;
  plan.products = products_.finish();
  plan.needed.resize(sku_texts_.size());

  std::ranges::sort(invoices_, [](const Invoice& a, const Invoice& b) {
    return std::tie(a.date, a.number) < std::tie(b.date, b.number);
  });
  std::vector<Invoice> cancellations;
  for (Invoice& invoice : invoices_) merge_lines(invoice);
  for (Invoice& invoice : invoices_) {
    if (invoice.cancellation) {
      cancellations.push_back(std::move(invoice));
      continue;
    }
    for (const PlannedLine& line : invoice.lines) plan.needed[line.sku] += line.quantity;
    if (invoice.customer.empty()) invoice.customer = "guest-" + invoice.number;
    plan.orders.push_back(
        {std::move(invoice.number), std::move(invoice.customer), invoice.date, std::move(invoice.lines)});
  }
  plan.skus = std::move(sku_texts_);
  match_cancellations(cancellations, plan);
  return plan;
}

void PlanBuilder::match_cancellations(std::vector<Invoice>& cancellations, ReplayPlan& plan) {
  std::unordered_map<std::string_view, std::vector<std::size_t>> orders_of;
  for (std::size_t i = 0; i < plan.orders.size(); ++i) orders_of[plan.orders[i].customer].push_back(i);
  std::vector<bool> cancelled(plan.orders.size());

  for (const Invoice& invoice : cancellations) {
    const auto reject = [&](std::string_view reason, const std::string& why) {
      rejects_.add(invoice.first_line, reason,
                   fmt::format("{} ({} lines): {}", invoice.number, invoice.lines.size(), why));
    };
    if (invoice.customer.empty()) {
      reject("unmatched_cancellation", "it names no customer");
      continue;
    }
    const auto known = orders_of.find(invoice.customer);
    const std::span<const std::size_t> candidates =
        known == orders_of.end() ? std::span<const std::size_t>() : known->second;
    const auto latest = std::find_if(candidates.rbegin(), candidates.rend(), [&](std::size_t order) {
      return plan.orders[order].date <= invoice.date && !cancelled[order] &&
             covers(plan.orders[order].lines, invoice.lines);
    });
    if (latest == candidates.rend()) {
      reject("unmatched_cancellation",
             "customer " + invoice.customer + " has no earlier order with these goods");
    } else if (plan.orders[*latest].lines != invoice.lines) {
      reject("partial_cancellation", "it returns only a part of order " + plan.orders[*latest].invoice);
    } else {
      cancelled[*latest] = true;
      plan.cancellations.push_back({invoice.number, *latest});
    }
  }
}

}  // namespace holdfast::cli
