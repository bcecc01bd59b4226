#include "holdfast/messaging/embedded/log.hpp"

#include "holdfast/messaging/embedded/internal/log_reader.hpp"
#include "holdfast/messaging/subscription.hpp"

namespace holdfast::messaging::embedded {
namespace {

constexpr std::size_t kReadBatch = 512;  ///< messages a read

class OutboxReader final : public Reader {
 public:
  OutboxReader(sql::Database& database, Outbox& outbox, const SubscriptionOptions& options, std::size_t scan)
      : database_(database), outbox_(outbox), reader_(options.topics, kReadBatch, scan) {}

  std::vector<ReadResult> read(const Context& ctx, const std::vector<Cohort>& cohorts,
                               std::int64_t& head) override {
    return reader_.read(ctx, database_, cohorts, head);
  }
  runtime::Signal& changed() noexcept override { return outbox_.committed(); }

 private:
  sql::Database& database_;
  Outbox& outbox_;
  const LogReader reader_;
};

}  // namespace

std::unique_ptr<Reader> OutboxLog::reader(const SubscriptionOptions& options) {
  return std::make_unique<OutboxReader>(database_, outbox_, options, scan_);
}

void OutboxLog::start(const Context& /*ctx*/) {
  watch_ = database_.watch_external_changes(outbox_.committed());
}

}  // namespace holdfast::messaging::embedded
