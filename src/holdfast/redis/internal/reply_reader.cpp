#include "holdfast/redis/internal/reply_reader.hpp"

#include <hiredis/read.h>

#include <new>

namespace holdfast::redis::internal {
namespace {

// hiredis builds the tree through these. A child lives in its parent's vector, which has its full size from
// the start, so that its address stays; only the root is an allocation of its own. No exception may cross C.

/// Where the value that is being read goes: into its parent's place for it, or into a new root.
Reply* place(const redisReadTask* task) noexcept {
  if (task->parent == nullptr) return std::make_unique<Reply>().release();
  return &static_cast<Reply*>(task->parent->obj)->elements[static_cast<std::size_t>(task->idx)];
}

void* create_string(const redisReadTask* task, char* bytes, size_t size) noexcept try {
  Reply* const reply = place(task);
  reply->kind = task->type == REDIS_REPLY_ERROR    ? Reply::Kind::error
                : task->type == REDIS_REPLY_STATUS ? Reply::Kind::status
                                                   : Reply::Kind::text;
  reply->text.assign(bytes, size);
  return reply;
} catch (const std::bad_alloc&) {
  return nullptr;
}

void* create_array(const redisReadTask* task, int count) noexcept try {
  if (count > ReplyReader::kMaxElements) return nullptr;
  Reply* const reply = place(task);
  reply->kind = Reply::Kind::array;
  if (count > 0) reply->elements.resize(static_cast<std::size_t>(count));
  return reply;
} catch (const std::bad_alloc&) {
  return nullptr;
}

void* create_integer(const redisReadTask* task, long long value) noexcept {
  Reply* const reply = place(task);
  reply->kind = Reply::Kind::integer;
  reply->integer = value;
  return reply;
}

void* create_nil(const redisReadTask* task) noexcept { return place(task); }

void free_root(void* root) noexcept { delete static_cast<Reply*>(root); }

redisReplyObjectFunctions kBuild{create_string, create_array, create_integer, create_nil, free_root};

}  // namespace

void ReplyReader::Free::operator()(redisReader* reader) const noexcept { redisReaderFree(reader); }

ReplyReader::ReplyReader(std::size_t max_reply_bytes)
    : reader_(redisReaderCreateWithFunctions(&kBuild)), max_reply_bytes_(max_reply_bytes) {
  if (!reader_) throw std::bad_alloc();
}

ReplyReader::~ReplyReader() = default;

void ReplyReader::feed(std::string_view bytes) {
  pending_bytes_ += bytes.size();
  redisReaderFeed(reader_.get(), bytes.data(), bytes.size());
}

std::optional<Reply> ReplyReader::next() {
  void* found = nullptr;
  if (redisReaderGetReply(reader_.get(), &found) != REDIS_OK) {
    throw Error(ErrorCode::unavailable, "What answers as Redis does not speak its protocol.")
        .reason("redis_protocol_broken")
        .cause(reader_->errstr);
  }
  if (found == nullptr) {
    if (pending_bytes_ <= max_reply_bytes_) return std::nullopt;
    throw Error(ErrorCode::unavailable, "Redis answered more than is taken.")
        .reason("redis_reply_too_large")
        .cause("over " + std::to_string(max_reply_bytes_) + " bytes");
  }
  pending_bytes_ = reader_->len - reader_->pos;
  const std::unique_ptr<Reply> root(static_cast<Reply*>(found));
  return std::move(*root);
}

}  // namespace holdfast::redis::internal
