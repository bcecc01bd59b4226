// OrderedReader: one group's reader of a stream. For each bucket that is open it keeps an "ordered" pull
// consumer (NATS ADR-17's idea): ephemeral, in memory, acknowledging nothing, from a sequence on. Its
// deliveries are numbered without gaps; where one is missing, the connection was lost, or nothing is heard
// for too long, the consumer is given up and another one made behind the last message that did come.
//
// Everything happens in read(): it takes what libnats' threads have put into the mailboxes, asks for more,
// and makes what consumers are missing. Thread-safety: one loop.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/messaging/nats/internal/stream.hpp"
#include "holdfast/messaging/subscription.hpp"

namespace holdfast::messaging::nats {

class OrderedReader final : public Reader {
 public:
  /// Both outlive it.
  OrderedReader(Stream& stream, const SubscriptionOptions& options);
  ~OrderedReader() override;

  void open(int bucket, std::int64_t position, const std::string& cursor) override;
  void close(int bucket) noexcept override;
  std::vector<ReadResult> read(const Context& ctx, const std::vector<Cohort>& cohorts,
                               std::int64_t& head) override;
  void recorded(int bucket, std::int64_t position) override;
  std::string cursor(int bucket) const override;
  bool contiguous() const noexcept override { return false; }
  runtime::Signal& changed() noexcept override { return changed_; }

 private:
  /// A message on its way, and the sequence of it or of the last one passed over right behind it.
  struct Waiting {
    Message message;
    std::uint64_t sequence;
  };
  struct Given {
    std::int64_t position;
    std::uint64_t sequence;
  };
  struct Consumer {
    std::uint64_t address;             // of the mailbox
    std::shared_ptr<Mailbox> mailbox;  // shared with the Client, which fills it
    std::string name;
    std::uint64_t generation;  // of the connection
    std::uint64_t delivered = 0;
    std::size_t asked = 0;  // asked for and not delivered yet
    Instant asked_at{};
  };
  struct Bucket {
    int number;
    std::int64_t passed;     // the position of the last message that was taken
    std::string identity;    // the stream's, that the sequences are of
    std::uint64_t sequence;  // of the last message that came
    std::uint64_t recorded;  // everything up to this sequence is recorded
    std::deque<Waiting> waiting;
    std::deque<Given> given;  // to the broker, and not recorded
    std::unique_ptr<Consumer> consumer;
    Instant not_before{};  // after a failure
  };

  void make_consumers(const Context& ctx);
  void make_consumer(const Context& ctx, int number);
  void collect(Bucket& bucket, std::int64_t& head);
  bool collect_one(Bucket& bucket, Incoming&& incoming, std::int64_t& head);
  void pass_over(Bucket& bucket, std::uint64_t sequence);
  void ask(Bucket& bucket);
  void drop_consumer(Bucket& bucket, const char* why) noexcept;
  bool wanted(const std::string& topic) const noexcept;

  Stream& stream_;
  const SubscriptionOptions& options_;
  runtime::Signal changed_;
  std::array<std::unique_ptr<Bucket>, kBuckets> buckets_;
};

}  // namespace holdfast::messaging::nats
