// The blob store's settings: what means nothing is named.
#include "orders/wiring_blob.hpp"

#include <gmock/gmock.h>

#include "holdfast/base/error.hpp"
#include "orders/testing/running_system.hpp"

namespace holdfast::orders {
namespace {

using ::testing::HasSubstr;
using testing::RunningSystem;

/// What a start with these settings says; empty where it works.
std::string refusal(const std::function<void(Settings&)>& adjust) {
  const sql::TemporaryFolder folder;
  SystemClock clock;
  SeededRandom random(5);
  runtime::Runtime runtime({.loops = 1}, clock, random);
  std::string said;
  runtime.run([&](const Context& ctx) {
    Settings settings = testing::test_settings(folder.path() / "data");
    settings.worker.enabled = true;
    adjust(settings);
    try {
      const RunningSystem system(ctx, runtime, settings);
    } catch (const Error& error) {
      said = error.detail();
    }
  });
  return said;
}

TEST(BlobWiring, NamesTheSettingThatMeansNothing) {
  EXPECT_EQ(refusal([](Settings&) {}), "");
  EXPECT_THAT(refusal([](Settings& s) { s.blob.max_inline = config::mebibytes(2); }),
              HasSubstr("blob.max_inline"));
  EXPECT_THAT(refusal([](Settings& s) { s.blob.kind = BlobKind::s3; }), HasSubstr("blob.s3"));
  EXPECT_THAT(refusal([](Settings& s) { s.blob.folder = "/dev/null/blobs"; }), HasSubstr("/dev/null/blobs"));
}

}  // namespace
}  // namespace holdfast::orders
