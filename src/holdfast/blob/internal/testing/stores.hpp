// For tests: every adapter behind one door, on a runtime with real threads.
#pragma once

#include <cstdlib>
#include <functional>
#include <optional>
#include <string>

#include "holdfast/blob/files_store.hpp"
#include "holdfast/blob/internal/testing/s3_server.hpp"
#include "holdfast/blob/memory_store.hpp"
#include "holdfast/blob/s3_store.hpp"
#include "holdfast/http/client.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/resilience/pipeline.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"

namespace holdfast::blob {

inline constexpr std::size_t kTestPartBytes = 64 * 1024;

/// Runs `test` on a fiber; what it needs of a network is made there.
struct Machine {
  SystemClock clock;
  SystemRandom random;
  observe::Metrics metrics;

  void run(const std::function<void(const Context&, runtime::Runtime&)>& test) {
    runtime::Runtime runtime({.loops = 1}, clock, random);
    runtime.run([&](const Context& ctx) { test(ctx.with_timeout(std::chrono::seconds(60)), runtime); });
  }

  void run_s3(const S3Options& options, const std::function<void(const Context&, Store&)>& test) {
    run([&](const Context& ctx, runtime::Runtime& runtime) {
      http::Client client(runtime, {});
      resilience::PipelineOptions settings;
      settings.retry.base = std::chrono::milliseconds(1);
      settings.retry.cap = std::chrono::milliseconds(5);
      settings.timeout.attempt = std::chrono::seconds(20);
      settings.timeout.total = std::chrono::seconds(30);
      resilience::Pipeline pipeline("blobs", settings, {clock, random, metrics});
      S3Store store(client, pipeline, random, options);
      test(ctx, store);
    });
  }
};

inline S3Options options_for(const S3Server& server, bool path_style = true) {
  return {
      .endpoint = (path_style ? "http://127.0.0.1:" : "http://localhost:") + std::to_string(server.port()),
      .region = S3Server::kRegion,
      .bucket = S3Server::kBucket,
      .access_key_id = S3Server::kKey,
      .secret_access_key = config::Secret(S3Server::kSecret),
      .session_token = {},
      .path_style = path_style,
      .prefix = "tests/",
      .part_bytes = kTestPartBytes};
}

/// HOLDFAST_TEST_S3_ENDPOINT, _BUCKET, _KEY, _SECRET, _REGION (us-east-1), _PATH_STYLE (1): a real one.
inline std::optional<S3Options> real_s3() {
  const auto get = [](const char* name, const char* otherwise) {
    const char* const value = std::getenv(name);
    return std::string(value == nullptr ? otherwise : value);
  };
  const std::string endpoint = get("HOLDFAST_TEST_S3_ENDPOINT", "");
  if (endpoint.empty()) return std::nullopt;
  return S3Options{.endpoint = endpoint,
                   .region = get("HOLDFAST_TEST_S3_REGION", "us-east-1"),
                   .bucket = get("HOLDFAST_TEST_S3_BUCKET", "holdfast-test"),
                   .access_key_id = get("HOLDFAST_TEST_S3_KEY", ""),
                   .secret_access_key = config::Secret(get("HOLDFAST_TEST_S3_SECRET", "")),
                   .session_token = {},
                   .path_style = get("HOLDFAST_TEST_S3_PATH_STYLE", "1") == "1",
                   .prefix = "holdfast-tests/",
                   .part_bytes = 5 * 1024 * 1024};
}

}  // namespace holdfast::blob
