#include "holdfast/config/internal/yaml.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "holdfast/base/utf8.hpp"

namespace holdfast::config {

namespace {

struct Refused : std::runtime_error {
  Refused(const YAML::Mark& mark, const std::string& what) : std::runtime_error(what), line(mark.line + 1) {}
  int line;
};

/// Builds the tree from the parser's events, so that the limits act before memory is spent.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(Tree& root, const std::string& name, Faults& faults)
      : root_(root), name_(name), faults_(faults) {}

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark& /*mark*/, const std::string& /*name*/) override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    if (expects_key()) return take_key(mark, "");
    place(mark, Tree::Kind::none);
    value_done();
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    throw Refused(mark, "aliases (*name) are not supported; write the value out");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (expects_key()) return take_key(mark, value);
    const bool null = tag == "?" && (value.empty() || value == "~" || value == "null");
    place(mark, null ? Tree::Kind::none : Tree::Kind::text)->text = value;
    value_done();
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(mark, tag, anchor, Tree::Kind::list);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(mark, tag, anchor, Tree::Kind::map);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Level {
    Tree* tree;
    bool key_is_next = false;
    std::string key{};
    int key_line = 0;
  };

  bool expects_key() const { return !levels_.empty() && levels_.back().key_is_next; }

  void take_key(const YAML::Mark& mark, const std::string& key) {
    levels_.back().key = key;
    levels_.back().key_line = mark.line + 1;
    levels_.back().key_is_next = false;
  }

  static void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) throw Refused(mark, "anchors (&name) are not supported");
  }
  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") throw Refused(mark, "tags (!name) are not supported");
  }

  std::string origin(int line) const { return name_ + ":" + std::to_string(line); }

  /// Where the next value goes. Levels hold pointers into the tree; a parent's children do not move
  /// while one of them is open, for only the innermost level grows.
  Tree* place(const YAML::Mark& mark, Tree::Kind kind) {
    if (++nodes_ > kMaxYamlNodes) throw Refused(mark, "there are too many values");
    Tree* at = &root_;
    int line = mark.line + 1;
    if (!levels_.empty()) {
      Level& level = levels_.back();
      if (level.tree->kind == Tree::Kind::list) {
        at = &level.tree->items.emplace_back();
      } else {
        if (level.tree->members.size() >= kMaxYamlMembers) throw Refused(mark, "a map has too many members");
        if (level.tree->find(level.key) != nullptr) {
          faults_.add(origin(level.key_line), level.key, "is there twice");
        }
        at = &level.tree->members.emplace_back(level.key, Tree()).second;
        line = level.key_line;
      }
    }
    at->kind = kind;
    at->origin = origin(line);
    return at;
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Tree::Kind kind) {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (expects_key()) throw Refused(mark, "a key must be plain text");
    if (levels_.size() >= kMaxYamlDepth) throw Refused(mark, "it is nested too deeply");
    levels_.push_back({.tree = place(mark, kind), .key_is_next = kind == Tree::Kind::map});
  }

  void close() {
    levels_.pop_back();
    value_done();
  }

  void value_done() {
    if (!levels_.empty() && levels_.back().tree->kind == Tree::Kind::map) levels_.back().key_is_next = true;
  }

  Tree& root_;
  const std::string& name_;
  Faults& faults_;
  std::vector<Level> levels_;
  std::size_t nodes_ = 0;
};

}  // namespace

Tree parse_yaml(std::string_view text, const std::string& name, Faults& faults) {
  Tree root;
  root.origin = name;
  if (text.size() > kMaxYamlBytes) {
    faults.add(name, "", "is larger than 1 MiB");
    return root;
  }
  if (!is_valid_utf8(text)) {
    faults.add(name, "", "is not UTF-8");
    return root;
  }
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder(root, name, faults);
    parser.HandleNextDocument(builder);
    Tree second;
    TreeBuilder ignored(second, name, faults);
    if (parser.HandleNextDocument(ignored))
      faults.add(second.origin, "", "is a second document; one is expected");
  } catch (const Refused& refused) {
    faults.add(name + ":" + std::to_string(refused.line), "", refused.what());
    root = {.origin = name};
  } catch (const YAML::Exception& malformed) {
    faults.add(name + ":" + std::to_string(std::max(malformed.mark.line, 0) + 1), "",
               "is not YAML: " + malformed.msg);
    root = {.origin = name};
  }
  if (root.kind == Tree::Kind::text || root.kind == Tree::Kind::list) {
    faults.add(root.origin, "", "must be a map of settings, not " + std::string(to_string(root.kind)));
    root = {.origin = name};
  }
  return root;
}

}  // namespace holdfast::config
