#include "holdfast/messaging/internal/relay_source.hpp"

namespace holdfast::messaging {
namespace {

class RelayReader final : public Reader {
 public:
  RelayReader(std::unique_ptr<Reader> outbox, const std::string& log, const std::function<void()>& displaced)
      : outbox_(std::move(outbox)), log_(log), displaced_(displaced) {}

  void open(int bucket, std::int64_t position, const std::string& cursor) override {
    outbox_->open(bucket, position, cursor);
    if (cursor == log_) return;
    over_ = true;
    displaced_();
  }
  void close(int bucket) noexcept override { outbox_->close(bucket); }
  std::vector<ReadResult> read(const Context& ctx, const std::vector<Cohort>& cohorts,
                               std::int64_t& head) override {
    std::vector<ReadResult> results;
    if (!over_) results = outbox_->read(ctx, cohorts, head);
    if (over_) results.clear();  // also where it came to be so meanwhile
    results.resize(cohorts.size());
    return results;
  }
  void recorded(int bucket, std::int64_t position) override { outbox_->recorded(bucket, position); }
  std::string cursor(int bucket) const override { return outbox_->cursor(bucket); }
  bool contiguous() const noexcept override { return outbox_->contiguous(); }
  runtime::Signal& changed() noexcept override { return outbox_->changed(); }

 private:
  const std::unique_ptr<Reader> outbox_;
  const std::string& log_;
  const std::function<void()>& displaced_;
  bool over_ = false;
};

}  // namespace

std::unique_ptr<Reader> RelaySource::reader(const SubscriptionOptions& options) {
  return std::make_unique<RelayReader>(outbox_.reader(options), log_, displaced_);
}

}  // namespace holdfast::messaging
