#include "drills/frame/shoppers.hpp"

#include <optional>

namespace holdfast::drills {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t kMostOffered = 64;
constexpr auto kPatience = 30s;  // with a server that is said to be back

/// Answers that say "not now": nothing was done, the same request may be sent again.
bool is_for_later(const HttpAnswer& answer) {
  return answer.status == 503 || answer.status == 429 ||
         (answer.status == 409 && answer.body.find("idempotency_key_in_use") != std::string::npos);
}

}  // namespace

class Shoppers::Shopper {
 public:
  Shopper(Shoppers& all, int number)
      : all_(all),
        random_(all.options_.seed * 1000 + static_cast<std::uint64_t>(number)),
        prefix_(all.options_.name + "-" + std::to_string(number) + "-"),
        http_(all.port_, 30s) {
    http_.authorize(all.shop_.api_key());
  }

  void run() {
    while (!all_.finishing_) {
      if (auto task = one_in(4) ? all_.take_again() : std::nullopt) {
        task->order.empty() ? place(task->request) : cancel(task->request, task->order);
      } else {
        const OrderRequest request = invent();
        all_.journal_.asked(request);
        if (one_in(8)) all_.offer_again({.request = request, .order = {}});
        place(request);
      }
      std::this_thread::sleep_for(all_.options_.pause);
    }
  }

 private:
  bool one_in(unsigned n) { return random_() % n == 0; }

  OrderRequest invent() {
    OrderRequest request{.customer = prefix_ + std::to_string(++invented_), .lines = {}};
    const auto& skus = all_.shop_.skus();
    for (std::uint64_t lines = 1 + random_() % 3; lines > 0; --lines) {
      request.lines[skus[random_() % skus.size()]] = static_cast<std::int64_t>(1 + random_() % 5);
    }
    if (one_in(10)) request.lines[Shop::kScarceSku] = 1;
    if (all_.options_.vary) all_.options_.vary(request, random_());
    return request;
  }

  void place(const OrderRequest& request) {
    const HttpAnswer answer = ask([&] {
      return http_.post("/v1/orders", request.body(), {{"Idempotency-Key", request.customer}});
    });
    all_.journal_.told(request.customer, answer.status, answer.body);
    if (answer.status != 201 || !one_in(8)) return;
    const std::string order = order_id(answer.body);
    if (const auto within = all_.options_.cancels_within.count(); within > 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(random_() % static_cast<std::uint64_t>(within)));
    }
    all_.journal_.cancellation_asked(request.customer);
    if (one_in(4)) all_.offer_again({.request = request, .order = order});
    cancel(request, order);
  }

  /// Without a key: cancelling is the same however often it is done.
  void cancel(const OrderRequest& request, const std::string& order) {
    const HttpAnswer answer = ask([&] { return http_.post("/v1/orders/" + order + "/cancellation", ""); });
    all_.journal_.cancellation_told(request.customer, answer.status, answer.body);
  }

  /// Until there is an answer.
  HttpAnswer ask(const std::function<HttpAnswer()>& send) {
    for (;;) {
      const std::uint64_t life = [&] {
        const std::lock_guard lock(all_.mutex_);
        return all_.lives_;
      }();
      if (life != connected_in_) http_.close();  // what is left of a former one
      connected_in_ = life;
      try {
        HttpAnswer answer = send();
        if (!is_for_later(answer)) return answer;
        std::this_thread::sleep_for(20ms);
      } catch (const NoAnswer& silence) {
        ++all_.in_doubt_;
        if (all_.wait_for_server(life)) continue;
        all_.journal_.fault(prefix_ + " got no answer from a server that was not killed: " + silence.what());
      }
    }
  }

  Shoppers& all_;
  std::mt19937_64 random_;
  const std::string prefix_;
  HttpConnection http_;
  std::uint64_t invented_ = 0;
  std::uint64_t connected_in_ = 0;
};

Shoppers::Shoppers(Shop& shop, Journal& journal, ShoppersOptions options)
    : shop_(shop), journal_(journal), options_(std::move(options)), port_(shop.server().port()) {
  for (int number = 0; number < options_.threads; ++number) {
    threads_.emplace_back([this, number] { Shopper(*this, number).run(); });
  }
}

Shoppers::~Shoppers() { finish(); }

void Shoppers::server_is_back() {
  {
    const std::lock_guard lock(mutex_);
    ++lives_;
  }
  back_.notify_all();
}

void Shoppers::finish() {
  finishing_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  again_.clear();
}

bool Shoppers::wait_for_server(std::uint64_t since) {
  std::unique_lock lock(mutex_);
  return back_.wait_for(lock, kPatience, [&] { return lives_ > since; });
}

void Shoppers::offer_again(Task task) {
  const std::lock_guard lock(mutex_);
  if (again_.size() < kMostOffered) again_.push_back(std::move(task));
}

std::optional<Shoppers::Task> Shoppers::take_again() {
  const std::lock_guard lock(mutex_);
  if (again_.empty()) return std::nullopt;
  Task task = std::move(again_.front());
  again_.pop_front();
  return task;
}

}  // namespace holdfast::drills
