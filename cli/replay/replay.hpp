// `holdfast replay`: a file of invoice lines becomes orders on a running server, and afterwards what the
// server says is held against what it acknowledged. Safe to interrupt and to run again.
//
// Thread-safety: call it once, from main's thread.
#pragma once

#include <string>

#include "cli/invocation.hpp"
#include "cli/invoices/column_mapping.hpp"

namespace holdfast::cli {

struct ReplayOptions {
  std::string file;
  ColumnMapping mapping;
  std::string url = "http://127.0.0.1:8080";
  std::string api_key;
  std::string rejects_file;  ///< CSV of all rejected lines; empty: none
  std::string state_file;    ///< empty: none
  std::size_t clients = 16;
  double orders_per_second = 0;  ///< 0: as fast as the server answers
  std::size_t limit = 0;         ///< orders; 0: all
  std::string currency = "GBP";
  std::int64_t stock = 0;                                ///< of each new product; 0: what the file needs
  Duration patience = std::chrono::minutes(2);           ///< with a request, retries included
  Duration receipts_timeout = std::chrono::seconds(60);  ///< for the last receipt to go out
  bool import_products = true;
  bool reconcile = true;
};

/// ok: everything held. failed: something did not. Throws Error, "usage" among them.
ExitCode run_replay(const Invocation& invocation, const ReplayOptions& options);

}  // namespace holdfast::cli
