#include "holdfast/messaging/embedded/internal/tail.hpp"

#include <algorithm>
#include <utility>

#include "holdfast/messaging/subscription.hpp"

namespace holdfast::messaging::embedded {
namespace {

constexpr std::size_t kMaxMessages = 1024;
constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
constexpr Duration kFresh = std::chrono::milliseconds(1);

}  // namespace

Tail::Tail(sql::Database& database, Outbox& outbox, std::size_t scan)
    : database_(database),
      outbox_(outbox),
      reader_({std::string(kEveryTopic)}, kMaxMessages / 2, scan),
      heard_(kMaxMessages, kMaxBytes) {}

void Tail::look(const Context& ctx) {
  const std::uint64_t version =
      outbox_.committed().version();  // before the look, so that no commit is missed
  if (!more_ && version == seen_ && ctx.now() - looked_at_ < kFresh) return;
  std::int64_t head = head_;
  if (!heard_.begun()) {  // what came before is read by whoever still needs it
    reader_.read(ctx, database_, {}, head);
    if (!heard_.begun()) heard_.begin(head);
  }
  const Cohort all{.read_to = heard_.last(), .buckets = ~BucketMask{0}};
  ReadResult found = std::move(reader_.read(ctx, database_, {all}, head).front());
  for (Message& message : found.messages) heard_.add(std::move(message));
  heard_.advance(found.read_to);
  head_ = std::max(head_, head);
  more_ = found.more;
  seen_ = std::max(seen_, version);
  looked_at_ = ctx.now();
}

ReadResult Tail::read(const Cohort& cohort, const std::vector<std::string>& topics, std::size_t most) const {
  ReadResult result = heard_.read(cohort, topics, most);
  result.more = result.more || more_;
  return result;
}

}  // namespace holdfast::messaging::embedded
