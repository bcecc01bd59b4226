// Whatever comes in as a body: parsed, or refused with an Error; what is parsed writes back to the same.
#include <cstdint>
#include <cstdlib>

#include "holdfast/base/id.hpp"
#include "holdfast/base/money.hpp"
#include "holdfast/base/reflect.hpp"

namespace {

struct Line {
  std::string sku;
  std::int32_t quantity = 0;
  static constexpr auto rules() {
    return holdfast::rules(
        holdfast::field<&Line::sku>().length(1, 64).pattern_chars("A-Za-z0-9._-").printable(),
        holdfast::field<&Line::quantity>().range(1, 1'000'000));
  }
};
HOLDFAST_DESCRIBE(Line, (sku, quantity))

struct Everything {
  std::optional<holdfast::Id<"cus">> customer;
  std::vector<Line> items;
  std::optional<std::optional<double>> weight;
  std::map<std::string, std::uint64_t> counts;
  holdfast::JsonText attributes;
  std::optional<holdfast::WallTime> at;
  std::optional<holdfast::Money> price;
  std::optional<bool> flag;
};
HOLDFAST_DESCRIBE(Everything, (customer, items, weight, counts, attributes, at, price, flag))

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto document = holdfast::JsonDocument::parse(text);
    const holdfast::JsonText compact(document.root());
    require(holdfast::JsonText::parse(compact.text(), {.max_bytes = SIZE_MAX}) == compact);
    const std::string canonical = holdfast::canonical_json(document.root());
    require(canonical == holdfast::canonical_json(
                             holdfast::JsonDocument::parse(canonical, {.max_bytes = SIZE_MAX}).root()));
    const auto value = holdfast::from_json<Everything>(document.root());
    const std::string once = holdfast::to_json(value);
    require(holdfast::to_json(holdfast::from_json<Everything>(once)) == once);
  } catch (const holdfast::Error&) {
  }
  return 0;
}
