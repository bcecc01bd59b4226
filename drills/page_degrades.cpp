// The optional parts of product pages fail, or are late: the page is a page all the same.
#include <algorithm>
#include <memory>
#include <thread>

#include "drills/frame/drill.hpp"

namespace holdfast::drills {

namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

// Both parts have 50 ms and are asked for at the same time; the rest is for a machine that does other things.
constexpr auto kBudget = 50ms;
constexpr auto kAnswersWithin = kBudget + 250ms;
constexpr auto kPause = 5ms;

struct Pages {
  std::size_t asked = 0;
  std::size_t not_shown = 0;        ///< not 200, or without the product and its stock
  std::size_t without_reviews = 0;  ///< and saying so
  std::vector<double> took_ms;

  double slowest_of(double share) {
    std::ranges::sort(took_ms);
    return took_ms.empty()
               ? 0
               : took_ms[static_cast<std::size_t>(share * static_cast<double>(took_ms.size() - 1))];
  }
};

bool says_degraded(const std::string& page, const std::string& part) {
  const std::size_t list = page.find("\"degraded\":[");
  if (list == std::string::npos) return false;
  const std::string_view names = std::string_view(page).substr(list, page.find(']', list) - list);
  return names.find("\"" + part + "\"") != std::string_view::npos;
}

Pages look_at_pages(Shop& shop, std::chrono::milliseconds time) {
  Pages pages;
  HttpConnection connection = shop.connect(5s);
  const std::string target = "/v1/products/" + shop.skus()[0] + "/page";
  for (const auto until = Steady::now() + time; Steady::now() < until;) {
    const auto asked = Steady::now();
    const HttpAnswer page = connection.get(target);
    pages.took_ms.push_back(std::chrono::duration<double, std::milli>(Steady::now() - asked).count());
    ++pages.asked;
    const bool whole = page.status == 200 && page.body.find("\"product\":") != std::string::npos &&
                       page.body.find("\"stock\":") != std::string::npos;
    pages.not_shown += whole ? 0 : 1;
    pages.without_reviews += says_degraded(page.body, "reviews") ? 1 : 0;
    std::this_thread::sleep_for(kPause);
  }
  return pages;
}

/// holdfast_page_parts_total of reviews that were left out.
std::size_t counted_left_out(Shop& shop) {
  const std::string name = "holdfast_page_parts_total{outcome=\"left_out\",part=\"reviews\"} ";
  const std::string metrics = shop.connect().get("/metrics").body;
  const std::size_t at = metrics.find(name);
  return at == std::string::npos ? 0 : std::stoul(metrics.substr(at + name.size()));
}

/// A busy machine may be late with a part now and then.
bool nearly_none(const Pages& pages) { return pages.without_reviews * 50 <= pages.asked; }

std::string of(std::size_t some, const Pages& pages) {
  return std::to_string(some) + " of " + std::to_string(pages.asked) + " pages";
}

void run(Stage& stage) {
  // What is bought together is late from the beginning: it would take five seconds.
  Shop& shop = stage.open_shop(
      {{"HOLDFAST_CATALOG_PAGE_BOUGHT_TOGETHER_DELAY", "5s"}, {"HOLDFAST_CATALOG_PAGE_MAX_STALENESS", "0s"}});
  const auto share = stage.duration() / 3;
  Pages before = look_at_pages(shop, share);
  const std::size_t counted_before = counted_left_out(shop);
  shop.change_data("alter table review_totals rename to review_totals_away");
  Pages broken = look_at_pages(shop, share);
  const std::size_t counted = counted_left_out(shop) - counted_before;
  shop.change_data("alter table review_totals_away rename to review_totals");
  HttpConnection connection = shop.connect();
  const std::string target = "/v1/products/" + shop.skus()[0] + "/page";
  const bool back =
      stage.wait_until(5s, [&] { return !says_degraded(connection.get(target).body, "reviews"); });
  Pages after = look_at_pages(shop, share);

  stage.figure("page while one part is late, p99", before.slowest_of(0.99), "ms");
  stage.figure("page while the other fails too, p99", broken.slowest_of(0.99), "ms");
  const double limit = std::chrono::duration<double, std::milli>(kAnswersWithin).count();
  stage.check("every page is shown", before.not_shown + broken.not_shown + after.not_shown == 0,
              std::to_string(before.asked + broken.asked + after.asked) + " pages");
  stage.check("within its budget", before.slowest_of(0.99) <= limit && broken.slowest_of(0.99) <= limit,
              "p99 of at most " + std::to_string(kAnswersWithin.count()) + " ms; the late part takes 5 s");
  stage.check("what is missing is told while it is",
              nearly_none(before) && broken.asked > 0 && broken.without_reviews == broken.asked,
              of(broken.without_reviews, broken));
  stage.check("and counted", counted == broken.without_reviews,
              std::to_string(counted) + " in holdfast_page_parts_total");
  stage.check("it is back by itself", back && nearly_none(after),
              of(after.asked - after.without_reviews, after));
}

}  // namespace

Drill page_degrades() {
  return {
      .name = "page-degrades",
      .breaks = "of a product's page one optional part is late for ever, the other's table goes away",
      .proves = "the page is shown within its budget, says what is missing, and is whole again afterwards",
      .duration = 9s,
      .quick = true,
      .run = run};
}

}  // namespace holdfast::drills
