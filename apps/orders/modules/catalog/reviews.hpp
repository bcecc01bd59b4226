// Reviews: what customers say of a product, and the sums that a page shows. (Part of catalog.hpp.)
//
// Thread-safety: as the Transaction's and Queries'.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/id.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/database.hpp"
#include "orders/shared/paging.hpp"

namespace holdfast::orders::catalog {

using ReviewId = Id<"rev">;

struct NewReview {
  std::int64_t stars = 0;
  std::string author;
  std::string text;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&NewReview::stars>().range(1, 5).doc("1 to 5.").example("5"),
        field<&NewReview::author>().length(1, 100).printable().doc("As it is shown.").example("\"Ada\""),
        field<&NewReview::text>().length(0, 4'000).defaulted().example("\"Holds tea.\""));
  }
};
HOLDFAST_DESCRIBE(NewReview, (stars, author, text))

struct Review {
  ReviewId id;
  std::string sku;
  std::int64_t stars = 0;
  std::string author;
  std::string text;
  WallTime created_at;
};
HOLDFAST_DESCRIBE(Review, (id, sku, stars, author, text, created_at))

/// What a page shows of a product's reviews.
struct ReviewSummary {
  std::int64_t count = 0;
  double average_stars = 0;  ///< 0 where there is none
  std::vector<Review> latest;
};
HOLDFAST_DESCRIBE(ReviewSummary, (count, average_stars, latest))

/// Throws as get(tx, sku).
Review add_review(const Context& ctx, sql::Transaction& tx, IdGenerator& ids, std::string_view sku,
                  const NewReview& review);

/// The newest first. Throws Error(invalid_argument, "bad_cursor"); as get(db, sku).
Page<Review> reviews(sql::Queries& db, std::string_view sku, const std::string& cursor, std::int64_t limit);

/// The sums are kept with each review, so this reads no more rows than it shows.
ReviewSummary review_summary(sql::Queries& db, std::string_view sku, std::int64_t latest);

}  // namespace holdfast::orders::catalog
