// check_books: what must hold after every drill, whatever was broken. Waits until nothing is left to do,
// ends the programs, and reads their files: orders, stock, payments and ledger, sagas, the provider's own
// book, and the mails. The yardstick is the journal: what customers asked for and what they were told.
//
//   check_books(stage);          adds a check for each promise, with the first faults as evidence
//
// Thread-safety: one thread.
#pragma once

#include <chrono>

#include "drills/frame/stage.hpp"

namespace holdfast::drills {

struct CheckBooksOptions {
  bool may_park = false;                    ///< sagas may wait for a person
  std::chrono::seconds settle_within{120};  ///< for events, sagas and payments to come to an end
};

void check_books(Stage& stage, CheckBooksOptions options = {});

}  // namespace holdfast::drills
