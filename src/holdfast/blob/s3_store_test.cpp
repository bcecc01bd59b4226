// What is S3's own: lost answers, resumed reads, refusals, and memory. The contract is in store_test.cpp.
#include "holdfast/blob/s3_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "holdfast/blob/internal/testing/stores.hpp"
#include "holdfast/blob/testing/resident.hpp"

namespace holdfast::blob {
namespace {

using ::testing::HasSubstr;
using Failure = S3Server::Failure;

class S3StoreTest : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&, Store&)>& test) { machine_.run_s3(options_, test); }
  static Error error_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      return error;
    }
    return {ErrorCode::internal, "nothing was thrown"};
  }

  Machine machine_;
  S3Server server_;
  S3Options options_ = options_for(server_);
  const std::string large_ = std::string(200'000, 'l');  // four parts
};

TEST_F(S3StoreTest, TriesAgainWhatIsBusyAndWhatGotLost) {
  for (const Failure how : {Failure::busy_before, Failure::lost_after}) {
    for (const char* what : {"PUT partNumber=2", "POST uploadId=", "POST uploads=", "GET "}) {
      SCOPED_TRACE(what);
      run([&](const Context& ctx, Store& store) {
        server_.fail_next(1, how, what);
        put_text(ctx, store, "large", large_);
        EXPECT_EQ(get_text(ctx, store, "large", large_.size()), large_);
        server_.fail_next(2, how, "PUT ");
        put_text(ctx, store, "small", "text");
        EXPECT_EQ(get_text(ctx, store, "small", 10), "text");
      });
    }
  }
}

TEST_F(S3StoreTest, APutWhoseAnswerGotLostIsNoConflictWithItself) {
  run([&](const Context& ctx, Store& store) {
    server_.fail_next(1, Failure::lost_after, "PUT ");
    put_text(ctx, store, "small", "text", {.if_absent = true});
    server_.fail_next(1, Failure::lost_after, "POST uploadId=");
    put_text(ctx, store, "large", large_, {.if_absent = true});
    EXPECT_EQ(server_.uploads(), 0U);
    EXPECT_EQ(error_of([&] { put_text(ctx, store, "small", "text", {.if_absent = true}); }).reason(),
              "blob_exists");
  });
}

TEST_F(S3StoreTest, GivesUpWithTheStoresWordsAndLeavesNoUpload) {
  run([&](const Context& ctx, Store& store) {
    server_.fail_next(100, Failure::busy_before, "PUT partNumber=3");
    const Error error = error_of([&] { put_text(ctx, store, "large", large_); });
    server_.fail_next(0, Failure::none, "");
    EXPECT_EQ(error.code(), ErrorCode::unavailable);
    EXPECT_THAT(error.cause(), HasSubstr("SlowDown"));
    EXPECT_EQ(server_.uploads(), 0U);
    EXPECT_FALSE(store.head(ctx, "large"));
  });
}

TEST_F(S3StoreTest, AReadGoesOnWhereItBrokeOff) {
  run([&](const Context& ctx, Store& store) {
    put_text(ctx, store, "large", large_);
    std::size_t got = 0;
    const std::size_t before = server_.seen().size();
    store.get(ctx, "large", [&](const Context&, std::string_view piece) {
      if (got == 0) server_.fail_next(1, Failure::lost_after, "GET ");
      got += piece.size();
    });
    EXPECT_EQ(got, large_.size());
    EXPECT_EQ(server_.seen().size() - before, 5U) << "four ranges, one of them twice";
  });
}

TEST_F(S3StoreTest, ABlobReplacedWhileItIsReadIsSeen) {
  run([&](const Context& ctx, Store& store) {
    put_text(ctx, store, "large", large_);
    bool replaced = false;
    const Error error = error_of([&] {
      store.get(ctx, "large", [&](const Context& inner, std::string_view) {
        if (!std::exchange(replaced, true)) put_text(inner, store, "large", std::string(200'000, 'n'));
      });
    });
    EXPECT_EQ(error.reason(), "blob_changed");
  });
}

TEST_F(S3StoreTest, ATamperedBlobIsFound) {
  run([&](const Context& ctx, Store& store) {
    put_text(ctx, store, "a", "text");
    server_.tamper("tests/a");
    EXPECT_EQ(error_of([&] { get_text(ctx, store, "a", 10); }).reason(), "blob_checksum_mismatch");
  });
}

TEST_F(S3StoreTest, AWrongKeyIsRefusedWithoutRetries) {
  options_.secret_access_key = config::Secret("another");
  run([&](const Context& ctx, Store& store) {
    const Error error = error_of([&] { put_text(ctx, store, "a", "text"); });
    EXPECT_EQ(error.reason(), "blob_store_refused");
    EXPECT_THAT(error.cause(), HasSubstr("SignatureDoesNotMatch"));
    EXPECT_EQ(server_.refused_signatures, 1);
  });
}

TEST_F(S3StoreTest, SettingsAreChecked) {
  const auto refused = [&](const std::function<void(S3Options&)>& change) {
    S3Options options = options_;
    change(options);
    options_ = std::exchange(options, options_);
    const Error error = error_of([&] { run([](const Context&, Store&) {}); });
    options_ = options;
    return std::string(error.reason());
  };
  const std::string invalid = "blob_store_settings_invalid";
  EXPECT_EQ(refused([](S3Options& o) { o.endpoint = "s3.example"; }), invalid);
  EXPECT_EQ(refused([](S3Options& o) { o.endpoint = "https://s3.example/path"; }), invalid);
  EXPECT_EQ(refused([](S3Options& o) { o.bucket = "A/b"; }), invalid);
  EXPECT_EQ(refused([](S3Options& o) { o.secret_access_key = {}; }), invalid);
  EXPECT_EQ(refused([](S3Options& o) { o.prefix = "/x"; }), invalid);
  EXPECT_EQ(refused([](S3Options& o) { o.part_bytes = 1; }), invalid);
}

TEST_F(S3StoreTest, StreamsInConstantMemory) {
  options_.part_bytes = 1024 * 1024;
  run([&](const Context& ctx, Store& store) {
    constexpr std::uint64_t kSize = 64 * 1024 * 1024;
    const auto stream = [&](std::uint64_t size) {
      ZeroReader reader(size);
      store.put(ctx, "discard", reader);
      std::uint64_t most = reader.most_resident;
      std::uint64_t got = 0;
      store.get(ctx, "discard", [&](const Context&, std::string_view piece) {
        got += piece.size();
        most = std::max(most, resident_bytes());
      });
      EXPECT_EQ(got, size);
      return most;
    };
    stream(8 * 1024 * 1024);  // the server's and curl's buffers
    const std::uint64_t before = resident_bytes();
    const std::uint64_t most = stream(kSize);
    if (resident_bytes_tell()) {
      EXPECT_LT(most - std::min(most, before), 16U * 1024 * 1024);
    }
    RecordProperty("resident_growth_kib", std::to_string((most - std::min(most, before)) / 1024));
  });
}

}  // namespace
}  // namespace holdfast::blob
