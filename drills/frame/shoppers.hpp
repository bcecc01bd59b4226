// Shoppers: customers that place and cancel orders all the time, over their own connections, and never
// take silence for an answer: a request that got none is sent again, with the same key, once the server
// is back. Some requests are sent twice at once; some orders are cancelled, some of them twice.
//
//   Shoppers shoppers(shop, journal, {.seed = seed});
//   shop.server().kill();  shop.server().start();  shoppers.server_is_back();
//   shoppers.finish();                               // everyone has an answer to everything
//
// Thread-safety: the functions from one thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "drills/frame/journal.hpp"
#include "drills/frame/shop.hpp"

namespace holdfast::drills {

struct ShoppersOptions {
  std::uint64_t seed = 0;
  int threads = 16;
  std::string name = "c";                       ///< begins every customer's name: unique within a journal
  std::chrono::microseconds pause{2000};        ///< of each after each request
  std::chrono::milliseconds cancels_within{0};  ///< of the order; at a random moment
  /// Makes orders differ in more than their lines: how they are paid, where they go.
  std::function<void(OrderRequest& request, std::uint64_t chance)> vary = {};
};

class Shoppers {
 public:
  /// Begins at once.
  Shoppers(Shop& shop, Journal& journal, ShoppersOptions options);
  ~Shoppers();
  Shoppers(const Shoppers&) = delete;
  Shoppers& operator=(const Shoppers&) = delete;

  void server_is_back();
  /// No new requests; returns when everything asked is answered.
  void finish();

  std::size_t in_doubt() const noexcept { return in_doubt_; }  ///< requests that once got no answer

 private:
  struct Task {
    OrderRequest request;
    std::string order;  ///< to be cancelled; empty: to be placed
  };
  class Shopper;

  void run(int number);
  bool wait_for_server(std::uint64_t since);
  void offer_again(Task task);
  std::optional<Task> take_again();

  Shop& shop_;
  Journal& journal_;
  const ShoppersOptions options_;
  const std::uint16_t port_;
  std::atomic<bool> finishing_{false};
  std::atomic<std::size_t> in_doubt_{0};
  std::mutex mutex_;
  std::condition_variable back_;
  std::uint64_t lives_ = 0;  // of the server, counted by server_is_back()
  std::deque<Task> again_;   // what another shopper sends too
  std::vector<std::thread> threads_;
};

}  // namespace holdfast::drills
