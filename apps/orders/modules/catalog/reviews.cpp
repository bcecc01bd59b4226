#include "orders/modules/catalog/reviews.hpp"

#include "orders/modules/catalog/catalog.hpp"

namespace holdfast::orders::catalog {
namespace {

struct Totals {
  std::int64_t reviews = 0;
  std::int64_t stars = 0;
};
HOLDFAST_DESCRIBE(Totals, (reviews, stars))

/// Ids ascend with time; '~' sorts above them all.
std::vector<Review> before(sql::Queries& db, std::string_view sku, const std::string& id,
                           std::int64_t limit) {
  return db.query<Review>(
      "select id, sku, stars, author, text, created_at from reviews where sku = $1 and id < $2 "
      "order by id desc limit $3",
      sku, id, limit);
}

}  // namespace

Review add_review(const Context& ctx, sql::Transaction& tx, IdGenerator& ids, std::string_view sku,
                  const NewReview& review) {
  Review made{.id = ids.make<ReviewId>(),
              .sku = get(tx, sku).sku,
              .stars = review.stars,
              .author = review.author,
              .text = review.text,
              .created_at = ctx.clock().wall_now()};
  tx.execute("insert into reviews(id, sku, stars, author, text, created_at) values($1, $2, $3, $4, $5, $6)",
             made.id, made.sku, made.stars, made.author, made.text, made.created_at);
  tx.execute(
      "insert into review_totals(sku, reviews, stars) values($1, 1, $2) on conflict(sku) do update set "
      "reviews = review_totals.reviews + 1, stars = review_totals.stars + excluded.stars",
      made.sku, made.stars);
  return made;
}

Page<Review> reviews(sql::Queries& db, std::string_view sku, const std::string& cursor, std::int64_t limit) {
  get(db, sku);
  Page<Review> page;
  page.items =
      before(db, sku, cursor.empty() ? "rev_~" : read_cursor(cursor, "reviews", 1).keys[0], limit + 1);
  if (static_cast<std::int64_t>(page.items.size()) > limit) {
    page.items.pop_back();
    page.next_cursor = write_cursor({"reviews", {page.items.back().id.text()}});
  }
  return page;
}

ReviewSummary review_summary(sql::Queries& db, std::string_view sku, std::int64_t latest) {
  ReviewSummary summary;
  const auto totals = db.query_one<Totals>("select reviews, stars from review_totals where sku = $1", sku);
  if (!totals || totals->reviews == 0) return summary;
  summary.count = totals->reviews;
  summary.average_stars = static_cast<double>(totals->stars) / static_cast<double>(totals->reviews);
  summary.latest = before(db, sku, "rev_~", latest);
  return summary;
}

}  // namespace holdfast::orders::catalog
