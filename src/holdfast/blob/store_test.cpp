// What every blob store promises, over every adapter: memory, files, S3 (path and virtual-host style, against
// a server of the test's), and a real S3 where the environment names one (internal/testing/stores.hpp).
#include <gtest/gtest.h>

#include "holdfast/base/digest.hpp"
#include "holdfast/base/encoding.hpp"
#include "holdfast/blob/internal/testing/stores.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::blob {
namespace {

using namespace std::chrono_literals;

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t state = 7;
  for (char& c : text) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return text;
}

std::string hash_of(std::string_view text) { return encode_hex(sha256(text)); }

/// Gives odd pieces, then ends, or throws.
class OddReader final : public Reader {
 public:
  OddReader(std::string_view text, bool breaks) : left_(text), breaks_(breaks) {}
  std::string_view read(const Context&) override {
    if (left_.empty() && breaks_) throw Error(ErrorCode::cancelled, "The sender has gone.");
    const std::string_view piece = left_.substr(0, 7001);
    left_.remove_prefix(piece.size());
    return piece;
  }

 private:
  std::string_view left_;
  bool breaks_;
};

class StoreContract : public ::testing::TestWithParam<const char*> {
 protected:
  void run(const std::function<void(const Context&, Store&)>& test) {
    const std::string which = GetParam();
    if (which == "memory") {
      machine_.run([&](const Context& ctx, runtime::Runtime&) {
        MemoryStore store(machine_.clock);
        test(ctx, store);
      });
    } else if (which == "files") {
      machine_.run([&](const Context& ctx, runtime::Runtime& runtime) {
        FilesStore store(runtime, {.folder = folder_.path() / "a" / "b", .sync = false});
        test(ctx, store);
      });
    } else if (which == "real_s3") {
      machine_.run_s3(*real_s3(), [&](const Context& ctx, Store& store) {
        for (const Listed& one : store.list(ctx, "").blobs) store.remove(ctx, one.name);
        test(ctx, store);
      });
    } else {
      S3Server server;
      machine_.run_s3(options_for(server, which == "s3_path"), test);
      EXPECT_EQ(server.refused_signatures, 0);
      EXPECT_EQ(server.uploads(), 0U) << "no unfinished upload is left";
    }
  }

  Machine machine_;
  sql::TemporaryFolder folder_;
};

std::string code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return std::string(error.reason());
  }
  return "";
}

TEST_P(StoreContract, GivesBackWhatWasPut) {
  run([](const Context& ctx, Store& store) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kTestPartBytes - 1, kTestPartBytes,
                                   kTestPartBytes + 1, 3 * kTestPartBytes, std::size_t{3'000'001}}) {
      const std::string text = pattern(size);
      OddReader reader(text, false);
      const Info put = store.put(ctx, "a/blob", reader,
                                 {.sha256 = hash_of(text),
                                  .content_type = "text/csv; charset=utf-8",
                                  .metadata = {{"made-by", "a test"}, {"year", "2026"}}});
      const auto head = store.head(ctx, "a/blob");
      ASSERT_TRUE(head);
      std::string got;
      const Info info =
          store.get(ctx, "a/blob", [&](const Context&, std::string_view piece) { got += piece; });
      EXPECT_TRUE(got == text) << size;
      for (const Info& one : {put, *head, info}) {
        EXPECT_EQ(one.name, "a/blob");
        EXPECT_EQ(one.size, size);
        EXPECT_EQ(one.sha256, hash_of(text));
        EXPECT_EQ(one.content_type, "text/csv; charset=utf-8");
        EXPECT_EQ(one.metadata, (Metadata{{"made-by", "a test"}, {"year", "2026"}}));
      }
      EXPECT_LT(std::chrono::abs(head->modified_at - ctx.clock().wall_now()), 60s);
    }
  });
}

TEST_P(StoreContract, TakesASizeAndAChecksumThatAreNotKnownBefore) {
  run([](const Context& ctx, Store& store) {
    const std::string text = pattern(200'000);
    OddReader reader(text, false);
    EXPECT_EQ(store.put(ctx, "unknown", reader).size, text.size());
    EXPECT_TRUE(get_text(ctx, store, "unknown", 1'000'000) == text);
    EXPECT_EQ(code_of([&] { get_text(ctx, store, "unknown", 199'999); }), "blob_too_large");
    put_text(ctx, store, "small", "text");
    EXPECT_EQ(store.head(ctx, "small")->sha256, hash_of("text"));
  });
}

TEST_P(StoreContract, RefusesWhatIsNotWhatWasSaid) {
  run([](const Context& ctx, Store& store) {
    for (const std::size_t size : {std::size_t{100}, std::size_t{200'000}}) {
      const std::string text = pattern(size);
      put_text(ctx, store, "kept", "before");
      EXPECT_EQ(code_of([&] {
                  TextReader reader(text);
                  store.put(ctx, "kept", reader, {.size = size + 1});
                }),
                "blob_size_mismatch");
      EXPECT_EQ(code_of([&] { put_text(ctx, store, "kept", text, {.sha256 = hash_of("other")}); }),
                "blob_checksum_mismatch");
      EXPECT_EQ(code_of([&] {
                  OddReader reader(text, true);
                  store.put(ctx, "kept", reader);
                }),
                "cancelled");
      EXPECT_EQ(get_text(ctx, store, "kept", 100), "before");
    }
  });
}

TEST_P(StoreContract, PutsOnlyWhereThereIsNone) {
  run([](const Context& ctx, Store& store) {
    for (const std::size_t size : {std::size_t{10}, std::size_t{200'000}}) {
      const std::string name = "once/" + std::to_string(size);
      put_text(ctx, store, name, pattern(size), {.if_absent = true});
      EXPECT_EQ(code_of([&] { put_text(ctx, store, name, std::string(size, 'x'), {.if_absent = true}); }),
                "blob_exists");
      EXPECT_TRUE(get_text(ctx, store, name, size) == pattern(size));
      put_text(ctx, store, name, "replaced");
      EXPECT_EQ(get_text(ctx, store, name, 100), "replaced");
    }
  });
}

TEST_P(StoreContract, OneOfManyThatPutAtOnceIsThere) {
  run([](const Context& ctx, Store& store) {
    int won = 0;
    int refused = 0;
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 8; ++i) {
      group.spawn("putting", [&, i](const Context& inner) {
        const std::string code = code_of([&] {
          put_text(inner, store, "race", std::string(1000, static_cast<char>('a' + i)), {.if_absent = true});
        });
        won += code.empty();
        refused += code == "blob_exists";
      });
    }
    group.wait();
    EXPECT_EQ(won, 1);
    EXPECT_EQ(refused, 7);
    const std::string text = get_text(ctx, store, "race", 1000);
    EXPECT_EQ(text, std::string(1000, text[0]));
  });
}

TEST_P(StoreContract, ReadsRanges) {
  run([](const Context& ctx, Store& store) {
    const std::string text = pattern(200'000);
    put_text(ctx, store, "ranged", text);
    const auto part = [&](std::uint64_t offset, std::optional<std::uint64_t> length) {
      std::string got;
      store.get(ctx, "ranged", [&](const Context&, std::string_view piece) { got += piece; },
                {.offset = offset, .length = length});
      return got;
    };
    EXPECT_TRUE(part(0, 10) == text.substr(0, 10));
    EXPECT_TRUE(part(65'000, 70'000) == text.substr(65'000, 70'000));
    EXPECT_TRUE(part(150'000, std::nullopt) == text.substr(150'000));
    EXPECT_TRUE(part(199'999, 500) == text.substr(199'999));
    EXPECT_EQ(part(200'000, std::nullopt), "");
    EXPECT_EQ(part(5, 0), "");
    EXPECT_EQ(code_of([&] { part(200'001, std::nullopt); }), "blob_range_invalid");
  });
}

TEST_P(StoreContract, SaysWhereThereIsNone) {
  run([](const Context& ctx, Store& store) {
    EXPECT_FALSE(store.head(ctx, "none"));
    EXPECT_EQ(code_of([&] { get_text(ctx, store, "none", 10); }), "blob_not_found");
    EXPECT_EQ(code_of([&] { get_text(ctx, store, "a/b/none", 10); }), "blob_not_found");
    store.remove(ctx, "none");
    put_text(ctx, store, "there", "");
    store.remove(ctx, "there");
    EXPECT_FALSE(store.head(ctx, "there"));
    EXPECT_TRUE(store.list(ctx, "").blobs.empty());
  });
}

TEST_P(StoreContract, ListsInOrderByPrefixAndPage) {
  run([](const Context& ctx, Store& store) {
    // In the order of bytes: '-' < '.' < '/' < '0'.
    const std::vector<std::string> names = {"a",       "a-b", "a.b", "a/B",       "a/b",   "a/b/c",
                                            "a/b/c/d", "a/c", "a0",  "b & <c>/d", "b%2Fc", "zürich/ñ"};
    for (const std::string& name : names) put_text(ctx, store, name, name);
    const auto names_of = [&](std::string_view prefix, std::size_t limit) {
      std::vector<std::string> found;
      std::string after;
      do {
        const Page page = store.list(ctx, prefix, after, limit);
        EXPECT_LE(page.blobs.size(), limit);
        for (const Listed& one : page.blobs) {
          found.push_back(one.name);
          EXPECT_EQ(one.size, one.name.size());
        }
        after = page.next;
      } while (!after.empty());
      return found;
    };
    EXPECT_EQ(names_of("", 1000), names);
    EXPECT_EQ(names_of("", 1), names);
    EXPECT_EQ(names_of("", 5), names);
    EXPECT_EQ(names_of("a/", 2), std::vector<std::string>(names.begin() + 3, names.begin() + 8));
    EXPECT_EQ(names_of("a/b", 2), std::vector<std::string>(names.begin() + 4, names.begin() + 7));
    EXPECT_EQ(names_of("b", 9), std::vector<std::string>(names.begin() + 9, names.begin() + 11));
    EXPECT_EQ(names_of("zür", 9), std::vector<std::string>(names.begin() + 11, names.end()));
    EXPECT_TRUE(names_of("q", 9).empty());
    EXPECT_TRUE(names_of("a//", 9).empty());
    EXPECT_TRUE(names_of("../", 9).empty());
    for (const std::string& name : names) EXPECT_EQ(get_text(ctx, store, name, 100), name);
    for (const std::string& name : names) store.remove(ctx, name);
    EXPECT_TRUE(names_of("", 9).empty());
  });
}

TEST_P(StoreContract, RefusesNamesAndMetadataOutOfLimits) {
  run([](const Context& ctx, Store& store) {
    for (const std::string& name : {std::string(), std::string("/a"), std::string("a/"), std::string("a//b"),
                                    std::string("."), std::string("a/../b"), std::string("a\nb"),
                                    std::string("a\0b", 3), std::string("\xff"), std::string(81, 'a')}) {
      EXPECT_EQ(code_of([&] { put_text(ctx, store, name, ""); }), "blob_name_invalid") << name;
      EXPECT_EQ(code_of([&] { store.head(ctx, name); }), "blob_name_invalid");
      EXPECT_EQ(code_of([&] { store.remove(ctx, name); }), "blob_name_invalid");
    }
    std::string longest;
    while (longest.size() + 81 <= kMaxNameBytes) longest += std::string(80, '.').replace(0, 1, "x") + '/';
    longest += std::string(kMaxNameBytes - longest.size(), '~');
    put_text(ctx, store, longest, "x");
    EXPECT_EQ(store.list(ctx, longest).blobs.size(), 1U);
    store.remove(ctx, longest);
    EXPECT_EQ(code_of([&] { put_text(ctx, store, longest + "x", ""); }), "blob_name_invalid");
    for (const Metadata& metadata :
         {Metadata{{"A", ""}}, Metadata{{"", ""}}, Metadata{{"a", "\n"}}, Metadata{{"a", "ü"}},
          Metadata{{"a", " b"}}, Metadata{{"holdfast-put", "x"}}, Metadata{{"a", std::string(1024, 'x')}}}) {
      EXPECT_EQ(code_of([&] { put_text(ctx, store, "a", "", {.metadata = metadata}); }),
                "blob_metadata_invalid");
    }
    Metadata many;
    for (int i = 0; i < 32; ++i) many.emplace(std::to_string(i), "");
    put_text(ctx, store, "a", "", {.metadata = many});
    EXPECT_EQ(store.head(ctx, "a")->metadata, many);
    many.emplace("one-more", "");
    EXPECT_EQ(code_of([&] { put_text(ctx, store, "a", "", {.metadata = many}); }), "blob_metadata_invalid");
    EXPECT_EQ(code_of([&] { put_text(ctx, store, "a", "", {.content_type = ""}); }),
              "blob_content_type_invalid");
    EXPECT_EQ(code_of([&] { put_text(ctx, store, "a", "", {.sha256 = "AB"}); }), "blob_checksum_invalid");
  });
}

TEST_P(StoreContract, WhatASinkThrowsPassesThrough) {
  run([](const Context& ctx, Store& store) {
    put_text(ctx, store, "a", pattern(200'000));
    EXPECT_EQ(code_of([&] {
                store.get(ctx, "a", [](const Context&, std::string_view) {
                  throw Error(ErrorCode::cancelled, "The receiver has gone.").reason("gone");
                });
              }),
              "gone");
  });
}

TEST_P(StoreContract, StopsAtTheDeadline) {
  run([](const Context& ctx, Store& store) {
    class Slow final : public Reader {
     public:
      std::string_view read(const Context& ctx) override {
        runtime::sleep_for(ctx, 1ms);
        return "x";
      }
    } slow;
    EXPECT_EQ(code_of([&] { store.put(ctx.with_timeout(20ms), "late", slow); }), "deadline_exceeded");
    EXPECT_FALSE(store.head(ctx, "late"));
  });
}

std::vector<const char*> adapters() {
  std::vector<const char*> all{"memory", "files", "s3_path", "s3_host"};
  if (real_s3()) all.push_back("real_s3");
  return all;
}

INSTANTIATE_TEST_SUITE_P(Adapters, StoreContract, ::testing::ValuesIn(adapters()),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace holdfast::blob
