// Journal: what a test's customers asked for and what they were told. The yardstick of every crash test:
// what is in it must be in the shop, and nothing else may be.
//
//   journal.asked(request);                        // before its first byte is sent
//   journal.told(request.customer, 201, body);     // faults() where it was told otherwise before
//
// Each request has a customer of its own, whose name is also its idempotency key: so an order in the
// shop says which request it comes from. Thread-safety: any thread; entries() while nobody writes.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace holdfast::drills {

struct OrderRequest {
  std::string customer;                       ///< and the idempotency key
  std::map<std::string, std::int64_t> lines;  ///< pieces by sku
  std::string payment_method = {};            ///< empty: what the shop takes unless told
  bool delivered = false;                     ///< it has an address to go to; else it is collected

  std::string body() const;
};

struct Told {
  int status = 0;
  std::string body;
};

/// A request and all that became of it, as its customer knows it.
struct JournalEntry {
  OrderRequest request;
  std::optional<Told> told;  ///< none: in doubt
  bool cancellation_asked = false;
  std::optional<Told> cancelled;  ///< what the cancellation was answered

  bool placed() const { return told && told->status == 201; }
  bool is_cancelled() const { return cancelled && cancelled->status == 200; }
};

class Journal {
 public:
  void asked(const OrderRequest& request);
  void told(const std::string& customer, int status, const std::string& body);
  void cancellation_asked(const std::string& customer);
  void cancellation_told(const std::string& customer, int status, const std::string& body);
  /// Something that must never happen, seen on the way.
  void fault(std::string what);

  const std::map<std::string, JournalEntry>& entries() const noexcept { return entries_; }
  std::vector<std::string> faults() const;
  std::size_t placed() const;

 private:
  void agree(const std::string& customer, std::optional<Told>& before, int status, const std::string& body);

  mutable std::mutex mutex_;
  std::map<std::string, JournalEntry> entries_;
  std::vector<std::string> faults_;
};

/// The order's id in an order's JSON; empty where it is none.
std::string order_id(const std::string& order_json);

}  // namespace holdfast::drills
