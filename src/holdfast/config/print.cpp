#include <algorithm>

#include "holdfast/base/json.hpp"
#include "holdfast/config/config.hpp"

namespace holdfast::config {

namespace {

std::string in_quotes(std::string_view text) {
  std::string out;
  JsonWriter(out).value(text);  // JSON's strings are YAML's
  return out;
}

/// Whether YAML reads it back as this very text without quotes.
bool plain(std::string_view text) {
  if (text.empty() || text == "null" || text == "true" || text == "false" || text == "yes" || text == "no" ||
      text == "on" || text == "off") {
    return false;
  }
  const auto ordinary = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '/' || c == '-' || c == '.';
  };
  const bool numeric = text.find_first_not_of("0123456789.eExX_+-") == std::string_view::npos;
  return !numeric && text[0] != '-' && std::ranges::all_of(text, ordinary);
}

std::string scalar(const Tree& tree) {
  if (tree.kind == Tree::Kind::none) return "null";
  return tree.bare || plain(tree.text) ? tree.text : in_quotes(tree.text);
}

class YamlPrinter {
 public:
  explicit YamlPrinter(const std::map<std::string, std::string>& origins) : origins_(origins) {}

  void members(const Tree& map, const std::string& path, std::size_t depth, bool commented) {
    for (const auto& [name, value] : map.members) {
      const std::string here = path.empty() ? name : path + "." + name;
      const bool is_setting = commented && (value.kind != Tree::Kind::map || origins_.contains(here));
      out_.append(2 * depth, ' ').append(plain(name) ? name : in_quotes(name)).append(":");
      write(value, here, depth, is_setting ? comment(here) : "", commented && !is_setting);
    }
  }

  std::string take() { return std::move(out_); }

 private:
  std::string comment(const std::string& path) const {
    const auto found = origins_.find(path);
    return "  # " + (found == origins_.end() ? std::string("default") : found->second);
  }

  void write(const Tree& value, const std::string& path, std::size_t depth, const std::string& remark,
             bool commented) {
    const bool of_maps = !value.items.empty() && value.items[0].kind == Tree::Kind::map;
    if (value.kind == Tree::Kind::map && value.members.empty()) {
      out_.append(" {}").append(remark.empty() ? "  # default" : remark).append("\n");
    } else if (value.kind == Tree::Kind::map) {
      out_.append(remark).append("\n");
      members(value, path, depth + 1, commented);
    } else if (value.kind == Tree::Kind::list && of_maps) {
      out_.append(remark).append("\n");
      for (const Tree& item : value.items) {
        const std::size_t begin = out_.size();
        members(item, path, depth + 2, false);
        out_.replace(begin + 2 * depth + 2, 2, "- ");
      }
    } else if (value.kind == Tree::Kind::list) {
      out_.append(" [");
      for (const Tree& item : value.items)
        out_.append(&item == value.items.data() ? "" : ", ").append(scalar(item));
      out_.append("]").append(remark).append("\n");
    } else {
      out_.append(" ").append(scalar(value)).append(remark).append("\n");
    }
  }

  const std::map<std::string, std::string>& origins_;
  std::string out_;
};

void write_json(JsonWriter& json, const Tree& tree) {
  switch (tree.kind) {
    case Tree::Kind::none: json.null(); return;
    case Tree::Kind::text:
      if (tree.bare) {
        json.raw(tree.text);
      } else {
        json.value(tree.text);
      }
      return;
    case Tree::Kind::list:
      json.begin_array();
      for (const Tree& item : tree.items) write_json(json, item);
      json.end_array();
      return;
    case Tree::Kind::map:
      json.begin_object();
      for (const auto& [name, value] : tree.members) write_json(json.key(name), value);
      json.end_object();
  }
}

}  // namespace

std::string print_tree(const Tree& tree, const std::map<std::string, std::string>& origins,
                       PrintFormat format) {
  if (format == PrintFormat::yaml) {
    YamlPrinter printer(origins);
    printer.members(tree, "", 0, true);
    return printer.take();
  }
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  write_json(json.key("settings"), tree);
  json.key("origins").begin_object();
  for (const auto& [path, origin] : origins) json.member(path, origin);
  json.end_object().end_object();
  return out;
}

}  // namespace holdfast::config
