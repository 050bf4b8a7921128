#!/usr/bin/env bash
# The chapters as posts for a Jekyll blog.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: scripts/blog.sh [-a AUTHOR] [-c CATEGORIES] [-d DATE] [-n FIRST] [-r URL] DIR

Writes each chapter as a post into DIR/_posts and its pictures into DIR/assets. DIR is a Jekyll
site. Replaces posts that exist already.

  -a AUTHOR      the author, for the front matter
  -c CATEGORIES  the categories (default: Container)
  -d DATE        the date of all posts, as YYYY-MM-DD (default: today)
  -n FIRST       the number of the first post, "Container Part FIRST" (default: 2, since the blog's
                 own post is part 1)
  -r URL         where this repository is, for links to files; without it, they become plain text
  -h             this help
EOF
}

author='' categories=Container date=$(date +%F) first=2 url=''
while getopts a:c:d:hn:r: option; do
    case $option in
        a) author=$OPTARG ;;
        c) categories=$OPTARG ;;
        d) date=$OPTARG ;;
        n) first=$OPTARG ;;
        r) url=${OPTARG%/} ;;
        h) usage && exit ;;
        *) usage >&2 && exit 2 ;;
    esac
done
shift $((OPTIND - 1))
if (($# != 1)) || ! [[ $date =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}$ && $first =~ ^[0-9]+$ ]]; then
    usage >&2
    exit 2
fi
site=$(mkdir -p "$1" && CDPATH='' cd "$1" && pwd)
CDPATH='' cd "$(dirname "$0")/.."

# part CHAPTER: the number of its post.
part() {
    echo $((first + 10#${1%%-*} - 1))
}

# post CHAPTER: the name of its post, without the ending.
post() {
    echo "$date-container-part-$(part "$1")"
}

# Where each other chapter's post is, for sed.
links=()
for chapter in 0*/; do
    links+=(-e "s,](\.\./${chapter}README\.md\(#[^)]*\)\?),]({% post_url $(post "$chapter") %}\1),g")
done

for chapter in 0*/; do
    chapter=${chapter%/}
    title=$(sed -n '1s/^# [0-9]* · //p' "$chapter/README.md")
    mkdir -p "$site/_posts" "$site/assets/$chapter"
    for picture in "$chapter"/*.svg; do
        [[ ! -e $picture ]] || cp "$picture" "$site/assets/$chapter/"
    done
    if [[ -n $url ]]; then
        files=(-e "s,](\.\./\([^):]*\)),]($url/blob/HEAD/\1),g"
            -e "s,](\([^)#/:{][^):{]*\)),]($url/blob/HEAD/$chapter/\1),g")
    else
        files=(-e 's,\[\([^]]*\)\]((\.\./)\?[^)#/:{][^):{]*),\1,g' -e 's,\[\([^]]*\)\](\.\./[^)]*),\1,g'
            -e 's,\([^!]\|^\)\[\([^]]*\)\]([^)#/:{][^):{]*),\1\2,g')
    fi
    {
        printf -- '---\nlayout: post\ntitle: "Container Part %d - %s"\ndate: %s\n' \
            "$(part "$chapter")" "${title//\"/\\\"}" "$date"
        [[ -z $author ]] || printf 'author: %s\n' "$author"
        printf 'categories: %s\n---\n' "$categories"
        # The title is in the front matter. Comments are for our tests. Without {% raw %}, Liquid
        # would read {{ and {% in a block. Without markdown="1", <details> wouldn't be rendered.
        # shellcheck disable=SC2016
        sed -e '1d' -e '/^<!-- .* -->$/d' "$chapter/README.md" |
            sed -e '/^ *```[a-z]/s/^\( *\)\(```.*\)/\1{% raw %}\n\1\2/' \
                -e '/^ *```$/s/^\( *\)```/\1```\n\1{% endraw %}/' |
            sed -e 's,<details>,<details markdown="1">,' \
                -e "s,](\([^)/:]*\.svg\)),](/assets/$chapter/\1),g" "${links[@]}" "${files[@]}"
    } >"$site/_posts/$(post "$chapter").md"
    echo "$site/_posts/$(post "$chapter").md"
done
