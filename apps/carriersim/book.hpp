// The carrier's book: every shipment it was ever asked to take, in its own database.
//
// Thread-safety: as the Transaction's and Queries'.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "carriersim/forms.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/migrations.hpp"

namespace holdfast::carriersim {

/// What a customer asks for.
struct Wish {
  std::string customer;  ///< ten digits
  std::string reference;
  std::string address;
  std::string value;
  std::string currency;
  std::int64_t parcels = 0;
};

/// Reads FORM=SNDNEU. Throws BadForm.
Wish read_wish(std::string_view body);

Sending enter(sql::Transaction& tx, const Wish& wish, WallTime now);

std::optional<Sending> find(sql::Queries& db, std::int64_t number);
/// Under that reference, the oldest first.
std::vector<Sending> find(sql::Queries& db, const std::string& customer, const std::string& reference);

/// A accepted, S cancelled, Z delivered.
void set_status(sql::Transaction& tx, std::int64_t number, std::string_view status, WallTime now);

/// A page of it as JSON, in the order of the numbers: {"bookings": […], "totals": {…}, "next": …}; the totals
/// are the whole book's.
std::string book_page(sql::Queries& db, std::int64_t after, std::int64_t limit);

std::vector<sql::Migration> migrations();

}  // namespace holdfast::carriersim
