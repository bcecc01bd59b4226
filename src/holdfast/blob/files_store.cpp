#include "holdfast/blob/files_store.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "holdfast/base/encoding.hpp"
#include "holdfast/base/id.hpp"
#include "holdfast/blob/internal/blob_files.hpp"
#include "holdfast/blob/internal/checks.hpp"
#include "holdfast/runtime/offload.hpp"

namespace holdfast::blob {
namespace {

/// What a thread is asked to write or read at a time: a visit costs some microseconds, this some hundred.
constexpr std::size_t kBlockBytes = 1024 * 1024;

}  // namespace

struct FilesStore::State {
  State(runtime::Runtime& runtime, const FilesOptions& options)
      : files(options.folder, options.sync),
        ids(runtime.clock(), runtime.random()),
        pool(runtime, {.name = "blobs", .threads = options.threads, .max_queue = options.max_queue}) {}

  /// Deletes what was not published, whatever happens.
  class Draft {
   public:
    explicit Draft(State& state) : state_(state) {}
    ~Draft() {
      if (!temporary.file) return;
      // Freeing a large file's blocks takes a while: not here on the loop, where there is room elsewhere.
      const auto left = std::make_shared<BlobFiles::Temporary>(std::move(temporary));  // a function is copied
      if (!state_.pool.post([left] { BlobFiles::discard(*left); })) BlobFiles::discard(*left);
    }
    Draft(const Draft&) = delete;
    Draft& operator=(const Draft&) = delete;
    BlobFiles::Temporary temporary;

   private:
    State& state_;
  };

  const BlobFiles files;
  IdGenerator ids;
  runtime::OffloadPool pool;
};

FilesStore::FilesStore(runtime::Runtime& runtime, FilesOptions options)
    : state_(std::make_unique<State>(runtime, options)) {
  state_->files.sweep_leftovers();
}

FilesStore::~FilesStore() = default;

Info FilesStore::put(const Context& ctx, std::string_view name, Reader& bytes, const PutOptions& options) {
  require_put(name, options);
  State& state = *state_;
  State::Draft draft(state);
  const std::string unique = encode_hex(state.ids.next());
  state.pool.run(ctx, [&] { draft.temporary = state.files.make_temporary(unique); });

  Measured measured;
  std::string block;
  const auto write_block = [&] {
    state.pool.run(ctx, [&] {
      BlobFiles::write(draft.temporary, block, measured.size());
      measured.add(block);
    });
    block.clear();
  };
  for (std::string_view piece; !(piece = bytes.read(ctx)).empty();) {
    block.append(piece);
    if (block.size() >= kBlockBytes) write_block();
  }
  if (!block.empty()) write_block();

  Info info{.name = std::string(name),
            .size = measured.size(),
            .sha256 = measured.finish(options),
            .content_type = options.content_type,
            .metadata = options.metadata,
            .modified_at = ctx.clock().wall_now()};
  bool published = false;
  state.pool.run(ctx, [&] { published = state.files.publish(draft.temporary, info, options.if_absent); });
  if (!published) throw exists(name);
  return info;
}

Info FilesStore::get(const Context& ctx, std::string_view name, const Sink& sink, const GetOptions& options) {
  require_name(name);
  State& state = *state_;
  std::optional<BlobFiles::Opened> opened;
  state.pool.run(ctx, [&] { opened = state.files.open(name); });
  if (!opened) throw not_found(name);
  const Range range = range_of(options, opened->info.size);
  Sha256 hash;
  std::string block(std::min<std::uint64_t>(kBlockBytes, range.length), '\0');
  for (std::uint64_t done = 0; done < range.length; done += block.size()) {
    block.resize(std::min<std::uint64_t>(kBlockBytes, range.length - done));
    std::size_t count = 0;
    state.pool.run(ctx, [&] {
      count = BlobFiles::read(*opened, range.offset + done, block.data(), block.size());
      hash.update(block);
    });
    if (count != block.size()) throw damaged(name, "its file ends too early");
    sink(ctx, block);
  }
  if (range.whole && encode_hex(hash.finish()) != opened->info.sha256)
    throw damaged(name, "its SHA-256 is another");
  return opened->info;
}

std::optional<Info> FilesStore::head(const Context& ctx, std::string_view name) {
  require_name(name);
  std::optional<Info> info;
  state_->pool.run(ctx, [&] {
    if (auto opened = state_->files.open(name)) info = std::move(opened->info);
  });
  return info;
}

void FilesStore::remove(const Context& ctx, std::string_view name) {
  require_name(name);
  state_->pool.run(ctx, [&] { state_->files.remove(name); });
}

Page FilesStore::list(const Context& ctx, std::string_view prefix, std::string_view after,
                      std::size_t limit) {
  Page page;
  if (!listable(prefix)) return page;
  limit = std::clamp<std::size_t>(limit, 1, kMaxPage);
  state_->pool.run(ctx, [&] { page = state_->files.list(prefix, after, limit); });
  return page;
}

std::size_t FilesStore::sweep_leftovers(const Context& ctx) {
  std::size_t swept = 0;
  state_->pool.run(ctx, [&] { swept = state_->files.sweep_leftovers(); });
  return swept;
}

}  // namespace holdfast::blob
