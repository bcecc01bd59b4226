#include "orders/wiring_blob.hpp"

#include <filesystem>

#include "holdfast/base/error.hpp"
#include "holdfast/blob/files_store.hpp"
#include "holdfast/blob/s3_store.hpp"
#include "holdfast/http/client.hpp"
#include "holdfast/lease/hold.hpp"
#include "holdfast/lease/sql_leases.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::orders {
namespace {

constexpr Duration kSweepEvery = std::chrono::hours(1);
constexpr Duration kFirstSweepAfter = std::chrono::minutes(1);  // a process that only looks in leaves it
constexpr Duration kSweepLease = std::chrono::seconds(30);
constexpr std::size_t kFileThreads = 2;

/// Of a part of 8 MiB, there and back.
resilience::PipelineOptions s3_defaults() {
  resilience::PipelineOptions options;
  options.timeout = {.total = std::chrono::seconds(25), .attempt = std::chrono::seconds(10)};
  options.breaker.slow_call = std::chrono::seconds(8);
  return options;
}

blob::S3Options s3_options(const S3Settings& settings) {
  blob::S3Options options;
  options.endpoint = settings.endpoint;
  options.region = settings.region;
  options.bucket = settings.bucket;
  options.access_key_id = settings.access_key_id;
  options.secret_access_key = settings.secret_access_key;
  options.session_token = settings.session_token;
  options.path_style = settings.path_style;
  options.prefix = settings.prefix;
  return options;
}

blob::ClaimCheckOptions claim_options(const Settings& settings) {
  if (settings.blob.max_inline.bytes > messaging::kMaxPayloadBytes)
    throw Error(ErrorCode::invalid_argument, "blob.max_inline can't be over a message's own limit of 1MiB.")
        .reason("invalid_configuration");
  blob::ClaimCheckOptions options;
  options.max_inline_bytes = settings.blob.max_inline.bytes;
  options.retention = settings.messaging.retention + std::chrono::hours(24);  // longer than any broker's
  return options;
}

}  // namespace

struct BlobWiring::State {
  State(const Settings& settings, const Parts& the_parts)
      : parts(the_parts), logger(parts.log.logger("blob")), leases(parts.database) {
    if (settings.blob.kind == BlobKind::files) {
      const auto folder = std::filesystem::path(settings.data) / settings.blob.folder;
      try {
        store = std::make_unique<blob::FilesStore>(
            parts.runtime, blob::FilesOptions{.folder = folder.string(), .threads = kFileThreads});
      } catch (const Error& error) {
        throw Error(error.code(), "The folder blob.folder, " + folder.string() +
                                      ", can't be made or written: choose another, or let us write there.")
            .reason(std::string(error.reason()))
            .cause(error.cause());
      }
    } else {
      http::ClientOptions http;
      http.ca_file = settings.blob.s3.ca_file;
      client = std::make_unique<http::Client>(parts.runtime, http);
      try {
        store = std::make_unique<blob::S3Store>(*client, parts.dependencies.add("blobs", s3_defaults()),
                                                parts.runtime.random(), s3_options(settings.blob.s3));
      } catch (const Error& error) {
        throw Error(error.code(), "The settings below blob.s3 can't be used: " + error.detail())
            .reason("invalid_configuration");
      }
    }
    claims = std::make_unique<blob::ClaimCheck>(parts.runtime, parts.database, *store, parts.outbox,
                                                parts.metrics, logger, claim_options(settings));
  }

  const Parts parts;
  const observe::Logger logger;
  lease::SqlLeases leases;
  std::unique_ptr<http::Client> client;
  std::unique_ptr<blob::Store> store;
  std::unique_ptr<blob::ClaimCheck> claims;
};

BlobWiring::BlobWiring(const Settings& settings, const Parts& parts)
    : state_(std::make_unique<State>(settings, parts)) {}

BlobWiring::~BlobWiring() = default;

blob::ClaimCheck& BlobWiring::claims() noexcept { return *state_->claims; }

void BlobWiring::sweep(const Context& ctx) {
  State& state = *state_;
  Duration wait = kFirstSweepAfter;
  for (;;) {
    try {
      runtime::sleep_for(ctx, wait);
    } catch (const Error&) {
      return;  // stopping
    }
    wait = kSweepEvery;
    try {
      lease::hold(ctx.with_timeout(kSweepEvery), state.leases, "claim-sweep", state.parts.runtime.random(),
                  {.time = kSweepLease}, [&](const Context& own, lease::Fence) {
                    const blob::SweepReport report = state.claims->sweep(own);
                    if (report.deleted > 0)
                      state.logger.info(own, "payloads that no message refers to were deleted",
                                        {{"blobs", report.deleted}});
                  });
    } catch (const Error& error) {
      if (ctx.cancelled()) return;
      state.logger.warn(ctx, "stored payloads could not be swept; it is tried again",
                        {{"error", error.what()}});
    }
  }
}

}  // namespace holdfast::orders
