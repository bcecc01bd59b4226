#include "drills/frame/journal.hpp"

#include <algorithm>

namespace holdfast::drills {

std::string OrderRequest::body() const {
  std::string text = R"({"customerId":")" + customer + R"(","items":[)";
  for (const auto& [sku, quantity] : lines) {
    if (text.back() != '[') text += ',';
    text += R"({"sku":")" + sku + R"(","quantity":)" + std::to_string(quantity) + "}";
  }
  text += ']';
  if (!payment_method.empty()) text += R"(,"paymentMethod":")" + payment_method + '"';
  if (delivered) {
    text += R"(,"shippingAddress":{"name":"Ann Example","line1":"1 High Street","city":"Anytown",)"
            R"("region":"Kent","postalCode":"TN1 1AA","country":"GB"})";
  }
  return text + "}";
}

void Journal::asked(const OrderRequest& request) {
  const std::lock_guard lock(mutex_);
  entries_[request.customer].request = request;
}

void Journal::told(const std::string& customer, int status, const std::string& body) {
  const std::lock_guard lock(mutex_);
  agree(customer, entries_.at(customer).told, status, body);
}

void Journal::cancellation_asked(const std::string& customer) {
  const std::lock_guard lock(mutex_);
  entries_.at(customer).cancellation_asked = true;
}

void Journal::cancellation_told(const std::string& customer, int status, const std::string& body) {
  const std::lock_guard lock(mutex_);
  std::optional<Told>& before = entries_.at(customer).cancelled;
  // A refusal names its own request, so a second one has another text.
  if (before && before->status == status && status >= 400) return;
  agree(customer, before, status, body);
}

void Journal::fault(std::string what) {
  const std::lock_guard lock(mutex_);
  faults_.push_back(std::move(what));
}

void Journal::agree(const std::string& customer, std::optional<Told>& before, int status,
                    const std::string& body) {
  if (!before) {
    before = Told{status, body};
  } else if (before->status != status || before->body != body) {
    faults_.push_back(customer + " was told two things: " + std::to_string(before->status) + " " +
                      before->body + " and " + std::to_string(status) + " " + body);
  }
}

std::vector<std::string> Journal::faults() const {
  const std::lock_guard lock(mutex_);
  return faults_;
}

std::size_t Journal::placed() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(
      std::ranges::count_if(entries_, [](const auto& entry) { return entry.second.placed(); }));
}

std::string order_id(const std::string& order_json) {
  const std::size_t at = order_json.find("\"ord_");
  return at == std::string::npos ? std::string() : order_json.substr(at + 1, 30);
}

}  // namespace holdfast::drills
