// Blobs as files of one machine: "exports/2026.csv" is <folder>/blobs/exports/2026%2Ecsv.blob, a head of
// 4 KiB (size, SHA-256, content type, metadata) and then the bytes.
//
//   FilesStore store(runtime, {.folder = "data/blobs"});
//
// A put writes a temporary file, syncs it, and only then gives it its name, by rename(2), or link(2) where
// there must be none yet; then it syncs the folder. So a crash leaves the old, the new or none, and at most a
// temporary file, which the next start deletes; those of a process that still lives are locked, and stay.
// Any number of processes may share a folder (not over NFS). Names are folders: put very many blobs under
// several prefixes, since a listing sorts a folder. Blocking calls run on a pool of threads of its own.
#pragma once

#include <memory>
#include <string>

#include "holdfast/blob/store.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::blob {

struct FilesOptions {
  std::string folder;           ///< made if it is missing
  std::size_t threads = 4;      ///< for file operations
  std::size_t max_queue = 256;  ///< operations waiting for a thread; more are refused: Error(unavailable)
  bool sync = true;             ///< false: a loss of power may take what was put. For tests
};

class FilesStore final : public Store {
 public:
  /// `runtime` must outlive it. Throws Error(unavailable, "blob_store_failed") naming the folder where it
  /// can't be made or written. Deletes leftovers.
  FilesStore(runtime::Runtime& runtime, FilesOptions options);
  ~FilesStore() override;

  Info put(const Context& ctx, std::string_view name, Reader& bytes, const PutOptions& options = {}) override;
  Info get(const Context& ctx, std::string_view name, const Sink& sink,
           const GetOptions& options = {}) override;
  std::optional<Info> head(const Context& ctx, std::string_view name) override;
  void remove(const Context& ctx, std::string_view name) override;
  Page list(const Context& ctx, std::string_view prefix, std::string_view after = {},
            std::size_t limit = kMaxPage) override;

  /// Deletes temporary files whose process has ended; returns how many. Done at the start, too.
  std::size_t sweep_leftovers(const Context& ctx);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::blob
