// The Order System as it runs past one machine: servers behind something that spreads connections, workers of
// their own, one PostgreSQL and one broker. All of them real processes that can be killed.
//
//   Fleet fleet({.broker = fleet_brokers().front().make(), .servers = 3, .workers = 3});
//   fleet.kill_server(1);  …  fleet.start_server(1);
//   std::printf("%ld ms", fleet.back_within(10s).count());     // orders are taken and have their receipts
//
// Thread-safety: one thread; others may talk to url().
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "drills/frame/server_process.hpp"
#include "holdfast/sql/testing/postgres_server.hpp"
#include "support/fleet_broker.hpp"
#include "support/spreader.hpp"

namespace holdfast::drills {

struct FleetOptions {
  FleetBroker broker;
  std::size_t servers = 3;
  std::size_t workers = 3;
  std::string lease = "5s";  ///< of messages and sagas; shorter ones are lost where processors are scarce
  std::map<std::string, std::string> environment = {};
  sql::PostgresServer::Settings postgres = {};
};

class Fleet {
 public:
  explicit Fleet(FleetOptions options);

  const std::string& api_key() const noexcept { return api_key_; }
  std::string url() const { return spreader_->url(); }
  HttpConnection connect(std::chrono::milliseconds timeout = std::chrono::seconds(10)) const {
    return HttpConnection(spreader_->port(), timeout, api_key_);
  }
  Spreader& spreader() noexcept { return *spreader_; }
  sql::PostgresServer& postgres() noexcept { return postgres_; }
  const std::string& database_url() const noexcept { return database_url_; }
  FleetBroker& broker() noexcept { return options_.broker; }
  ServerProcess& server(std::size_t index) { return *servers_.at(index); }
  Process& worker(std::size_t index) { return *workers_.at(index); }

  void kill_server(std::size_t index) { servers_.at(index)->kill(); }
  void start_server(std::size_t index) { servers_.at(index)->start(); }
  void kill_worker(std::size_t index) { workers_.at(index)->kill(); }
  void start_worker(std::size_t index);  ///< returns once it is ready

  /// Another `holdfast` command on its database, beside what runs.
  Finished run(std::vector<std::string> arguments, std::chrono::milliseconds at_most) const {
    return servers_.front()->run(std::move(arguments), at_most);
  }
  std::unique_ptr<Process> spawn(std::vector<std::string> arguments) const {
    return servers_.front()->spawn(std::move(arguments));
  }
  const std::filesystem::path& folder() const noexcept { return folder_.path(); }

  /// Places orders on keys of their own and waits for their receipts: how long that took, from now. Throws
  /// std::runtime_error with what is missing where it takes longer than `at_most`.
  std::chrono::milliseconds back_within(std::chrono::milliseconds at_most);

  /// Ends all of them as an operator would; each process's fault is a sentence.
  std::vector<std::string> stop();
  /// Orders that have another number of receipts than one, in the mail folder that all workers share.
  std::vector<std::string> receipts_amiss() const;
  std::size_t receipts() const;

 private:
  std::map<std::string, std::string> environment() const;
  void add_probe_product();
  std::string place_probe(HttpConnection& http, const std::string& name,
                          std::chrono::steady_clock::time_point until);
  std::map<std::string, int> receipts_by_order() const;

  FleetOptions options_;
  TemporaryFolder folder_;
  sql::PostgresServer postgres_;
  const std::string database_url_;
  std::vector<std::unique_ptr<ServerProcess>> servers_;
  std::vector<std::unique_ptr<Process>> workers_;
  std::unique_ptr<Spreader> spreader_;
  std::string api_key_;
  int probes_ = 0;
};

}  // namespace holdfast::drills
