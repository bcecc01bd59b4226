#include "holdfast/messaging/embedded/log.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "holdfast/messaging/embedded/internal/log_reader.hpp"
#include "holdfast/messaging/embedded/internal/tail.hpp"
#include "holdfast/messaging/subscription.hpp"

namespace holdfast::messaging::embedded {
namespace {

constexpr std::size_t kReadBatch = 512;  ///< messages a read

BucketMask all_of(const std::vector<Cohort>& cohorts) {
  return std::accumulate(cohorts.begin(), cohorts.end(), BucketMask{0},
                         [](BucketMask sum, const Cohort& one) { return sum | one.buckets; });
}

class OutboxReader final : public Reader {
 public:
  OutboxReader(sql::Database& database, Outbox& outbox, const SubscriptionOptions& options, std::size_t scan,
               std::shared_ptr<Tail> tail)
      : database_(database),
        outbox_(outbox),
        topics_(options.topics),
        reader_(options.topics, kReadBatch, scan),
        tail_(std::move(tail)) {}

  std::vector<ReadResult> read(const Context& ctx, const std::vector<Cohort>& cohorts,
                               std::int64_t& head) override {
    // The tail has the messages of all buckets: a process with few of them asks for its own.
    const bool alone = tail_.use_count() <= 2;  // this reader, and the log
    if (alone || std::popcount(all_of(cohorts)) < kBuckets / 2)
      return reader_.read(ctx, database_, cohorts, head);
    tail_->look(ctx);
    head = std::max(head, tail_->head());
    return read_recent(*tail_, cohorts, topics_, kReadBatch, [&](const std::vector<Cohort>& behind) {
      return reader_.read(ctx, database_, behind, head);
    });
  }
  runtime::Signal& changed() noexcept override { return outbox_.committed(); }

 private:
  sql::Database& database_;
  Outbox& outbox_;
  const std::vector<std::string> topics_;
  const LogReader reader_;
  const std::shared_ptr<Tail> tail_;
};

}  // namespace

OutboxLog::OutboxLog(sql::Database& database, Outbox& outbox, std::size_t scan)
    : database_(database),
      outbox_(outbox),
      scan_(scan),
      tail_(std::make_shared<Tail>(database, outbox, scan)) {}

std::unique_ptr<Reader> OutboxLog::reader(const SubscriptionOptions& options) {
  return std::make_unique<OutboxReader>(database_, outbox_, options, scan_, tail_);
}

void OutboxLog::start(const Context& /*ctx*/) {
  watch_ = database_.watch_external_changes(outbox_.committed());
}

}  // namespace holdfast::messaging::embedded
