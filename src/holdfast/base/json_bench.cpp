// An order of about 250 bytes, written and read, beside Boost.JSON parsing the same text into its own tree.
#include <benchmark/benchmark.h>

#include <boost/json/parse.hpp>

#include "holdfast/base/id.hpp"
#include "holdfast/base/money.hpp"
#include "holdfast/base/reflect.hpp"

namespace holdfast {
namespace {

struct Item {
  std::string sku;
  std::int64_t quantity = 0;
  Money price;
  static constexpr auto rules() {
    return holdfast::rules(field<&Item::sku>().length(1, 64).pattern_chars("A-Za-z0-9._-"),
                           field<&Item::quantity>().range(1, 1'000'000));
  }
};
HOLDFAST_DESCRIBE(Item, (sku, quantity, price))

struct Order {
  Id<"ord"> id;
  std::string customer_id;
  std::vector<Item> items;
  WallTime placed_at;
  bool paid = false;
};
HOLDFAST_DESCRIBE(Order, (id, customer_id, items, placed_at, paid))

Order sample() {
  constexpr Currency kPounds = Currency::of("GBP");
  return {.customer_id = "17850",
          .items = {{"85123A", 6, {255, kPounds}}, {"71053", 6, {339, kPounds}}},
          .placed_at = WallTime(std::chrono::hours(400'000))};
}

void write_order(benchmark::State& state) {
  const Order order = sample();
  for (auto _ : state) benchmark::DoNotOptimize(to_json(order));
}
BENCHMARK(write_order);

void read_order(benchmark::State& state) {
  const std::string text = to_json(sample());
  for (auto _ : state) benchmark::DoNotOptimize(from_json<Order>(text));
}
BENCHMARK(read_order);

void parse_tree(benchmark::State& state) {
  const std::string text = to_json(sample());
  for (auto _ : state) benchmark::DoNotOptimize(JsonDocument::parse(text));
}
BENCHMARK(parse_tree);

void boost_parse_tree(benchmark::State& state) {
  const std::string text = to_json(sample());
  for (auto _ : state) benchmark::DoNotOptimize(boost::json::parse(text));
}
BENCHMARK(boost_parse_tree);

}  // namespace
}  // namespace holdfast
