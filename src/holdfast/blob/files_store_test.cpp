#include "holdfast/blob/files_store.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "holdfast/blob/internal/blob_files.hpp"
#include "holdfast/blob/internal/testing/stores.hpp"
#include "holdfast/blob/testing/resident.hpp"

namespace holdfast::blob {
namespace {

namespace fs = std::filesystem;

class FilesStoreTest : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&, FilesStore&)>& test) {
    machine_.run([&](const Context& ctx, runtime::Runtime& runtime) {
      FilesStore store(runtime, {.folder = folder_.path()});
      test(ctx, store);
    });
  }
  std::size_t files_in(const char* folder) const {
    std::size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path() / folder))
      count += entry.is_regular_file();
    return count;
  }
  std::string reason_of_get(const Context& ctx, Store& store, std::string_view name) {
    try {
      get_text(ctx, store, name, 1'000'000);
    } catch (const Error& error) {
      return std::string(error.reason());
    }
    return "";
  }

  Machine machine_;
  sql::TemporaryFolder folder_;
};

TEST_F(FilesStoreTest, NamesStayInsideTheFolderAndApart) {
  EXPECT_EQ(escape_segment("..b/C ü%.blob"), "%2E%2Eb%2FC%20ü%25%2Eblob");
  EXPECT_EQ(unescape_segment("%2E%2Eb%2FC%20ü%25%2Eblob"), "..b/C ü%.blob");
  for (const char* not_ours : {"", "a.b", "%", "%2", "%2e", "%41", "a b", "%zz"})
    EXPECT_FALSE(unescape_segment(not_ours)) << not_ours;
  run([&](const Context& ctx, FilesStore& store) {
    put_text(ctx, store, "a", "1");
    put_text(ctx, store, "a.blob", "2");
    put_text(ctx, store, "a.blob/b", "3");
    EXPECT_TRUE(fs::exists(folder_.path() / "blobs" / "a%2Eblob" / "b.blob"));
    std::ofstream(folder_.path() / "blobs" / "README.txt") << "somebody's";
    EXPECT_EQ(store.list(ctx, "").blobs.size(), 3U);
  });
}

TEST_F(FilesStoreTest, FindsThatAFileWasChangedOrCut) {
  run([&](const Context& ctx, FilesStore& store) {
    const fs::path file = folder_.path() / "blobs" / "a.blob";
    const auto damage = [&](std::streamoff at) {
      put_text(ctx, store, "a", std::string(10'000, 'x'));
      std::fstream(file, std::ios::in | std::ios::out).seekp(at).put('!');
      return reason_of_get(ctx, store, "a");
    };
    EXPECT_EQ(damage(kFileHeadBytes + 5'000), "blob_checksum_mismatch");
    EXPECT_EQ(damage(0), "blob_checksum_mismatch");
    put_text(ctx, store, "a", std::string(10'000, 'x'));
    fs::resize_file(file, kFileHeadBytes + 9'999);
    EXPECT_EQ(reason_of_get(ctx, store, "a"), "blob_checksum_mismatch");
    fs::resize_file(file, 10);
    EXPECT_EQ(reason_of_get(ctx, store, "a"), "blob_checksum_mismatch");
    EXPECT_EQ(store.list(ctx, "").blobs.size(), 1U) << "a damaged one is listed all the same";
    store.remove(ctx, "a");
    EXPECT_FALSE(store.head(ctx, "a"));
  });
}

TEST_F(FilesStoreTest, LeavesNothingOfAPutThatFails) {
  run([&](const Context& ctx, FilesStore& store) {
    EXPECT_THROW(put_text(ctx, store, "a", "text", {.sha256 = std::string(64, '0')}), Error);
    put_text(ctx, store, "b/c/d", "text", {.if_absent = true});
    EXPECT_THROW(put_text(ctx, store, "b/c/d", "text", {.if_absent = true}), Error);
    store.remove(ctx, "b/c/d");
  });  // the store's end waits for what was posted
  EXPECT_EQ(files_in("temporary"), 0U);
  EXPECT_TRUE(fs::is_empty(folder_.path() / "blobs")) << "empty folders go, too";
}

TEST_F(FilesStoreTest, SweepsWhatAKilledProcessLeftAndNotWhatALivingOneWrites) {
  const BlobFiles files(folder_.path(), true);
  const pid_t child = ::fork();
  if (child == 0) {
    BlobFiles::Temporary left = files.make_temporary("left");
    BlobFiles::write(left, "half", 0);
    ::_exit(0);  // as kill -9: no destructor runs
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  BlobFiles::Temporary writing = files.make_temporary("writing");
  EXPECT_EQ(files_in("temporary"), 2U);
  run([&](const Context& ctx, FilesStore& store) {
    EXPECT_EQ(files_in("temporary"), 1U) << "the start deletes leftovers";
    EXPECT_EQ(store.sweep_leftovers(ctx), 0U);
    EXPECT_TRUE(store.list(ctx, "").blobs.empty());
    EXPECT_TRUE(files.publish(writing, {.name = "whole", .size = 0, .sha256 = encode_hex(sha256(""))}, true));
    EXPECT_EQ(get_text(ctx, store, "whole", 1), "");
  });
}

TEST_F(FilesStoreTest, SaysThatItsFolderCantBeUsed) {
  std::ofstream(folder_.path() / "file") << "no folder";
  machine_.run([&](const Context&, runtime::Runtime& runtime) {
    try {
      FilesStore store(runtime, {.folder = folder_.path() / "file" / "blobs"});
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.reason(), "blob_store_failed");
      EXPECT_NE(error.cause().find("/file/blobs"), std::string::npos) << error.cause();
    }
  });
}

TEST_F(FilesStoreTest, StreamsInConstantMemory) {
  run([](const Context& ctx, FilesStore& store) {
    constexpr std::uint64_t kSize = 64 * 1024 * 1024;
    put_text(ctx, store, "warm", std::string(2'000'000, 'x'));
    const std::uint64_t before = resident_bytes();
    ZeroReader reader(kSize);
    store.put(ctx, "large", reader);
    std::uint64_t most = reader.most_resident;
    std::uint64_t got = 0;
    store.get(ctx, "large", [&](const Context&, std::string_view piece) {
      got += piece.size();
      most = std::max(most, resident_bytes());
    });
    EXPECT_EQ(got, kSize);
    if (resident_bytes_tell()) {
      EXPECT_LT(most - std::min(most, before), 16U * 1024 * 1024);
    }
    RecordProperty("resident_growth_kib", std::to_string((most - std::min(most, before)) / 1024));
  });
}

}  // namespace
}  // namespace holdfast::blob
